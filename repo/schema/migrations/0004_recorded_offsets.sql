-- How far this database has recorded the log of a partition: the end of the last batch whose
-- transaction committed here. A group that has committed more of the log than that shows that the
-- database was set back (a restored backup, a failover to a standby that lagged).
--
-- It is a fact about the database and the log, not about a consumer group: several groups share it.
-- 0 says nothing, so that rows of an earlier version adopt what their group has committed.
--
-- LOCKS: ACCESS EXCLUSIVE on catalyst_consumer_offsets (a row a partition), for a moment.
ALTER TABLE catalyst_consumer_offsets
    ADD COLUMN IF NOT EXISTS recorded_offset bigint NOT NULL DEFAULT 0;

-- What `recover` still has to bring level, stored before it changes anything: commands of the
-- partition from from_offset on, below to_offset. The rows go with its last transaction.
CREATE TABLE IF NOT EXISTS catalyst_recoveries (
    topic_id smallint NOT NULL,
    "partition" integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,
    PRIMARY KEY (topic_id, "partition")
);
