-- The table of the recipe's record.
CREATE TABLE auth_devices (
    id      text COLLATE "C" PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    name    text,
    labels  json NOT NULL DEFAULT '{}'
);
