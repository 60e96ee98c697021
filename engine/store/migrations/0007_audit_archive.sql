-- Up to which record the audit chain was moved to files; the chain here begins behind it. See engine/store/archive.py.
CREATE TABLE audit_base (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_base (one, seq, hash) VALUES (1, 0, '');
CREATE TRIGGER audit_base_is_a_record BEFORE UPDATE ON audit_base
WHEN NEW.seq <= OLD.seq OR NEW.hash IS NOT (SELECT hash FROM audit WHERE seq = NEW.seq) BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_base_stays BEFORE DELETE ON audit_base BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_base_is_one BEFORE INSERT ON audit_base BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

DROP TRIGGER audit_is_not_deleted;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit WHEN OLD.seq > (SELECT seq FROM audit_base) BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
