package peer;

import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;

/**
 * The two tables, written in one transaction a poll. The driver makes few multi-row INSERTs of a
 * batch (reWriteBatchedInserts), and sends them without waiting for each answer.
 */
final class Store implements AutoCloseable {
    private static final short TOPIC_ID = 1;

    private final Connection connection;
    private final PreparedStatement find;
    private final PreparedStatement insertKey;
    private final PreparedStatement insertAudit;

    Store(String conninfo, String schema) throws SQLException {
        connection = DriverManager.getConnection(jdbcUrl(conninfo), properties(schema));
        connection.setAutoCommit(false);
        find =
                connection.prepareStatement(
                        "SELECT id FROM auth_audit_events WHERE id = ANY(?::uuid[])");
        insertKey =
                connection.prepareStatement(
                        "INSERT INTO auth_keys (id, hash, owner_kind, owner_id, name,"
                                + " created_by_kind, created_by_id, created_at, updated_at,"
                                + " expires_at, status, scopes, labels)"
                                + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'active', ?, ?)"
                                + " ON CONFLICT DO NOTHING");
        insertAudit =
                connection.prepareStatement(
                        "INSERT INTO auth_audit_events (id, occurred_at, category, action, outcome,"
                                + " subject, resource, metadata, entity, command_source,"
                                + " command_id, command_type, command_digest, topic_id,"
                                + " \"partition\", \"offset\") VALUES (?, ?, 'key', 'key.issued',"
                                + " 'applied', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                                + " ON CONFLICT DO NOTHING");
    }

    /** A libpq URL and a JDBC URL differ in their first word, and in where the user stands. */
    private static String jdbcUrl(String conninfo) {
        String[] parts = conninfo.split("://", 2);
        if (parts.length != 2 || !parts[0].matches("postgres(ql)?")) {
            throw new IllegalArgumentException("--conninfo: a postgresql:// URL is wanted");
        }
        int at = parts[1].indexOf('@');
        String place = parts[1].substring(at + 1);
        if (at < 0) {
            return "jdbc:postgresql://" + place;
        }
        String[] user = parts[1].substring(0, at).split(":", 2);
        String credentials = "user=" + user[0] + (user.length == 2 ? "&password=" + user[1] : "");
        return "jdbc:postgresql://" + place + (place.contains("?") ? "&" : "?") + credentials;
    }

    private static Properties properties(String schema) {
        Properties properties = new Properties();
        properties.setProperty("currentSchema", schema);
        properties.setProperty("reWriteBatchedInserts", "true");
        properties.setProperty("ApplicationName", "peer_java");
        return properties;
    }

    /** Writes what is not there yet, commits, and answers which that were, in order. */
    List<Command> apply(List<Command> commands) throws SQLException, IOException {
        Set<UUID> known = known(commands);
        List<Command> fresh = new ArrayList<>(commands.size());
        for (Command command : commands) {
            if (known.add(command.auditId())) {
                fresh.add(command);
                bindKey(command);
                bindAudit(command);
            }
        }
        insertKey.executeBatch();
        insertAudit.executeBatch();
        connection.commit();
        return fresh;
    }

    private Set<UUID> known(List<Command> commands) throws SQLException {
        Object[] ids = commands.stream().map(Command::auditId).toArray();
        Set<UUID> known = new HashSet<>(2 * ids.length);

        find.setArray(1, connection.createArrayOf("uuid", ids));
        try (ResultSet rows = find.executeQuery()) {
            while (rows.next()) {
                known.add(rows.getObject(1, UUID.class));
            }
        }
        return known;
    }

    private void bindKey(Command command) throws SQLException, IOException {
        KeyIssue key = command.key();

        insertKey.setString(1, key.id());
        insertKey.setString(2, key.hash());
        insertKey.setString(3, key.owner().kind());
        insertKey.setString(4, key.owner().id());
        insertKey.setString(5, key.name());
        insertKey.setString(6, key.createdBy().kind());
        insertKey.setString(7, key.createdBy().id());
        insertKey.setObject(8, OffsetDateTime.parse(key.createdAt()));
        insertKey.setObject(9, OffsetDateTime.parse(command.time()));
        insertKey.setObject(10, OffsetDateTime.parse(key.expiresAt()));
        insertKey.setArray(11, connection.createArrayOf("text", key.scopes()));
        insertKey.setObject(12, JsonTexts.labels(key.labels()), Types.OTHER);
        insertKey.addBatch();
    }

    private void bindAudit(Command command) throws SQLException, IOException {
        KeyIssue key = command.key();

        insertAudit.setObject(1, command.auditId());
        insertAudit.setObject(2, OffsetDateTime.parse(command.time()));
        insertAudit.setObject(3, JsonTexts.ref(key.owner().kind(), key.owner().id()), Types.OTHER);
        insertAudit.setObject(4, JsonTexts.ref("key", key.id()), Types.OTHER);
        insertAudit.setObject(5, JsonTexts.metadata(key), Types.OTHER);
        insertAudit.setString(6, key.id());
        insertAudit.setString(7, command.source());
        insertAudit.setString(8, command.id());
        insertAudit.setString(9, command.type());
        insertAudit.setObject(10, command.digest());
        insertAudit.setShort(11, TOPIC_ID);
        insertAudit.setInt(12, command.partition());
        insertAudit.setLong(13, command.offset());
        insertAudit.addBatch();
    }

    @Override
    public void close() throws SQLException {
        connection.close();
    }
}
