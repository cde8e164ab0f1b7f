-- For test databases only: Django empties tables between transactional tests with TRUNCATE, which
-- the log's triggers refuse. Nothing outside tests/ runs this. The test of the guard enables it
-- again inside its own transaction.
ALTER TABLE log_entry DISABLE TRIGGER log_entry_no_truncate;
ALTER TABLE log_checkpoint DISABLE TRIGGER log_checkpoint_no_truncate;
ALTER TABLE log_tile DISABLE TRIGGER log_tile_no_truncate;
ALTER TABLE log_outbox DISABLE TRIGGER log_outbox_no_truncate;
ALTER TABLE log_subject DISABLE TRIGGER log_subject_no_truncate;
ALTER TABLE log_timestamp DISABLE TRIGGER log_timestamp_no_truncate;
