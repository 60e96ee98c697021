-- The evidence of an incident in parts, each written once when it is full: see engine/store/evidence.py.
CREATE TABLE evidence_parts (
  incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
  part INTEGER NOT NULL,
  life INTEGER NOT NULL,
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  signals TEXT NOT NULL,
  PRIMARY KEY (incident, part)
);
INSERT INTO evidence_parts (incident, part, life, first, count, signals)
  SELECT evidence.incident, 0, coalesce(json_extract(incidents.body, '$.reopened'), 0), 0,
    json_array_length(evidence.signals), evidence.signals
  FROM evidence JOIN incidents ON incidents.id = evidence.incident;
DROP TABLE evidence;
ALTER TABLE evidence_parts RENAME TO evidence;
