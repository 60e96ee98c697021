-- What came beside the payload of a dead letter (MQTT 5), without which some can't be tried again.
ALTER TABLE deadletters ADD COLUMN content_type TEXT NOT NULL DEFAULT '';
ALTER TABLE deadletters ADD COLUMN properties TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deadletters ADD COLUMN retained INTEGER NOT NULL DEFAULT 0;
