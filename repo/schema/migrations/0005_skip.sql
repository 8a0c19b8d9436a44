-- Requests of operators to move past records that can't be read. The verb skip writes one; the lane
-- that holds the partition carries it out and deletes it.
--
-- LOCKS: none on tables that are there.

CREATE TABLE IF NOT EXISTS catalyst_skip_requests (
    topic text COLLATE "C" NOT NULL,
    "partition" integer NOT NULL,
    from_offset bigint NOT NULL CHECK (from_offset >= 0),
    to_offset bigint NOT NULL CHECK (to_offset > from_offset),
    reason text NOT NULL,
    -- also what could be read: for records that end the process that reads them
    unread boolean NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, "partition")
);
