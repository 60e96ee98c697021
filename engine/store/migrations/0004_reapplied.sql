-- When a containment that someone undid was put in place again: such an act counts against the hour's budget too.
CREATE TABLE reapplied (
  at_us INTEGER NOT NULL,
  lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
  target_kind TEXT NOT NULL
);
CREATE INDEX reapplied_by_kind ON reapplied (target_kind, at_us);
