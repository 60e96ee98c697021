-- Whether a lease was found not to be in force when it was last read back, so that what it contained is not contained.
ALTER TABLE leases ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
