-- Whether a dead letter's signature was right when it came: a part of a signed message carries none of its own.
ALTER TABLE deadletters ADD COLUMN proved INTEGER NOT NULL DEFAULT 0;
