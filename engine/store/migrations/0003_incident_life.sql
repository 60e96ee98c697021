-- The life of an incident past its containment; see engine/store/{happenings,deadlines,notices,recorder,watches}.py.

ALTER TABLE incidents ADD COLUMN acked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN duplicate_of TEXT NOT NULL DEFAULT '';

-- What happened to an incident besides the moves of its steps: its own transitions, acts of people, deadlines, leases.
CREATE TABLE happenings (
  seq INTEGER PRIMARY KEY,
  incident TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  kind TEXT NOT NULL,
  who TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX happenings_by_incident ON happenings (incident, seq);

-- By when each phase of an incident has to be done, and whether it was.
CREATE TABLE deadlines (
  incident TEXT NOT NULL,
  phase TEXT NOT NULL,
  due_us INTEGER NOT NULL,
  met_us INTEGER,
  missed_us INTEGER,
  level INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (incident, phase)
) WITHOUT ROWID;
CREATE INDEX deadlines_open ON deadlines (due_us) WHERE met_us IS NULL;

-- Notices to people that are on their way or were sent: an outbox.
CREATE TABLE notices (
  id TEXT PRIMARY KEY,
  incident TEXT NOT NULL,
  channel TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  level TEXT NOT NULL,
  state TEXT NOT NULL,
  made_us INTEGER NOT NULL,
  next_us INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX notices_waiting ON notices (next_us) WHERE state = 'waiting';
CREATE INDEX notices_by_incident ON notices (incident);

-- The flight recorder: the messages of one batch a row, one JSON document a line. `*_to` are running totals.
CREATE TABLE recorded (
  seq INTEGER PRIMARY KEY,
  at_us INTEGER NOT NULL,
  first_us INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  events INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  events_to INTEGER NOT NULL,
  bytes_to INTEGER NOT NULL,
  body BLOB NOT NULL
);

-- Recorded events kept for an incident after the recorder has gone on: CloudEvents, one JSON document a line, zlib.
CREATE TABLE pinned (
  incident TEXT PRIMARY KEY,
  at_us INTEGER NOT NULL,
  from_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  events INTEGER NOT NULL,
  left_out INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  body BLOB NOT NULL
);

-- Keys that are watched more closely for a time.
CREATE TABLE watches (
  key TEXT PRIMARY KEY,
  since_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  incident TEXT NOT NULL DEFAULT '',
  who TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- Incidents that are open as this comes get the deadlines that their timers stand for.
INSERT INTO deadlines (incident, phase, due_us)
  SELECT json_extract(body, '$.incident'), json_extract(body, '$.phase'), due_us
  FROM timers WHERE name LIKE 'deadline:%';
