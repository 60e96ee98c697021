-- Times are microseconds since the Unix epoch; bodies are JSON of the structs in engine/model.py.

-- Ids of events seen, one row per committed batch: 16 bytes each, one after the other.
CREATE TABLE seen (
  seq INTEGER PRIMARY KEY,
  at_us INTEGER NOT NULL,
  digests BLOB NOT NULL
);

-- State of the core per (owner, key): windows of signals, partial matches of rules.
CREATE TABLE windows (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  version INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (owner, key)
);
CREATE TABLE matches (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  version INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (owner, key)
);

-- Small facts of which there is one each: the core's clock, whether acting is paused, …
CREATE TABLE facts (
  name TEXT PRIMARY KEY,
  body BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE incidents (
  id TEXT PRIMARY KEY,
  incident TEXT NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL,
  severity TEXT NOT NULL,
  opened_us INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  contained_us INTEGER,
  closed_us INTEGER,
  resolution TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL
);
CREATE UNIQUE INDEX incidents_not_closed ON incidents (incident, key) WHERE state <> 'closed';
CREATE INDEX incidents_by_time ON incidents (opened_us);

-- The signals of an incident: apart from it, because they are long and seldom change.
CREATE TABLE evidence (
  incident TEXT PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
  signals TEXT NOT NULL
);

CREATE TABLE intents (
  id TEXT PRIMARY KEY,
  incident TEXT NOT NULL REFERENCES incidents (id),
  phase TEXT NOT NULL,
  step INTEGER NOT NULL,
  action TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL,
  hold TEXT,
  hold_until_us INTEGER,
  approved_by TEXT NOT NULL DEFAULT '',
  override INTEGER NOT NULL DEFAULT 0,
  target_kind TEXT,
  target_name TEXT,
  plan TEXT,
  receipt TEXT,
  outcome TEXT,
  lease TEXT,
  tries INTEGER NOT NULL DEFAULT 0,
  event_us INTEGER NOT NULL,
  received_us INTEGER NOT NULL,
  matched_us INTEGER NOT NULL,
  durable_us INTEGER,
  applying_us INTEGER,
  applied_us INTEGER,
  verified_us INTEGER,
  updated_us INTEGER NOT NULL
);
CREATE INDEX intents_by_incident ON intents (incident, phase, step);
CREATE INDEX intents_unsettled ON intents (state) WHERE state IN ('intended', 'applying', 'applied', 'held');
CREATE INDEX intents_acted ON intents (target_kind, applying_us) WHERE applying_us IS NOT NULL;

CREATE TABLE transitions (
  seq INTEGER PRIMARY KEY,
  intent TEXT NOT NULL REFERENCES intents (id),
  at_us INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL
);
CREATE INDEX transitions_by_intent ON transitions (intent, seq);

CREATE TABLE leases (
  id TEXT PRIMARY KEY,
  action TEXT NOT NULL,
  target_kind TEXT NOT NULL,
  target_name TEXT NOT NULL,
  labels TEXT NOT NULL,
  params TEXT NOT NULL,
  receipt TEXT NOT NULL,
  intent TEXT NOT NULL,
  state TEXT NOT NULL,
  acquired_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  drifts INTEGER NOT NULL DEFAULT 0,
  adopted INTEGER NOT NULL DEFAULT 0,
  detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX leases_live ON leases (target_kind, target_name) WHERE state <> 'released';
CREATE TABLE lease_holders (
  lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
  incident TEXT NOT NULL,
  since_us INTEGER NOT NULL,
  PRIMARY KEY (lease, incident)
) WITHOUT ROWID;
CREATE INDEX lease_holders_by_incident ON lease_holders (incident);

CREATE TABLE timers (
  name TEXT PRIMARY KEY,
  due_us INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX timers_by_due ON timers (due_us);

CREATE TABLE deadletters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_us INTEGER NOT NULL,
  source TEXT NOT NULL,
  topic TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload_bytes INTEGER NOT NULL,
  payload BLOB NOT NULL
);

CREATE TABLE faults (
  owner TEXT NOT NULL,
  field TEXT NOT NULL,
  class TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_us INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  last_reason TEXT NOT NULL,
  last_event TEXT NOT NULL,
  PRIMARY KEY (owner, field, class)
) WITHOUT ROWID;

-- The audit chain. `record` is canonical JSON that names its own place, its predecessor's hash and the algorithm.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  record TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- INSERT OR REPLACE deletes without a delete trigger, so a record's place is held from this side too.
CREATE TRIGGER audit_grows_at_its_end BEFORE INSERT ON audit
WHEN NEW.seq <> (SELECT seq FROM audit_head) + 1 BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- The last record's place and hash, so that a chain cut short is seen.
CREATE TABLE audit_head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
);
CREATE TRIGGER audit_head_moves_forward BEFORE UPDATE ON audit_head WHEN NEW.seq <> OLD.seq + 1 BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
INSERT INTO audit_head (one, seq, hash) VALUES (1, 0, '');
CREATE TRIGGER audit_head_is_one BEFORE INSERT ON audit_head BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
