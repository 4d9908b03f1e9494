-- What a campaign says of its messages beside the text (charset rule, flash, DLT ids, validity), as it was sealed:
-- only what is not the default, so {} is every campaign before this.
ALTER TABLE campaigns ADD COLUMN options jsonb NOT NULL DEFAULT '{}';
