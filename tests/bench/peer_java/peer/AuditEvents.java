package peer;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.util.List;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/** Makes the audit event of an issued key. Holds what one thread uses again. */
final class AuditEvents {
    private static final Header SPECVERSION = header("ce_specversion", "1.0");
    private static final Header SOURCE = header("ce_source", "peer");
    private static final Header TYPE = header("ce_type", "dev.catalyst.audit.key.issued.v1");
    private static final Header CONTENT_TYPE = header("content-type", "application/vnd.msgpack");

    private final String topic;
    private final MessageBufferPacker packer = MessagePack.newDefaultBufferPacker();

    AuditEvents(String topic) {
        this.topic = topic;
    }

    private static Header header(String key, String value) {
        return new RecordHeader(key, value.getBytes(UTF_8));
    }

    ProducerRecord<byte[], byte[]> of(Command command) throws IOException {
        String id = command.auditId().toString();
        String entity = command.key().id();
        List<Header> headers =
                List.of(
                        SPECVERSION,
                        header("ce_id", id),
                        SOURCE,
                        TYPE,
                        header("ce_subject", entity),
                        header("ce_time", command.time()),
                        header("ce_causationid", command.id()),
                        CONTENT_TYPE);
        return new ProducerRecord<>(
                topic, null, entity.getBytes(UTF_8), value(id, command), headers);
    }

    private byte[] value(String id, Command command) throws IOException {
        KeyIssue key = command.key();

        packer.clear();
        packer.packMapHeader(8);
        pack("id", id);
        pack("occurredAt", command.time());
        pack("category", "key");
        pack("action", "key.issued");
        pack("outcome", "applied");
        packRef("subject", key.owner().kind(), key.owner().id());
        packRef("resource", "key", key.id());
        packMetadata(key);
        return packer.toByteArray();
    }

    private void pack(String field, String value) throws IOException {
        packer.packString(field).packString(value);
    }

    private void packRef(String field, String type, String id) throws IOException {
        packer.packString(field).packMapHeader(2);
        pack("type", type);
        pack("id", id);
    }

    private void packMetadata(KeyIssue key) throws IOException {
        packer.packString("metadata").packMapHeader(3);
        pack("name", key.name());
        packer.packString("scopes").packArrayHeader(key.scopes().length);
        for (String scope : key.scopes()) {
            packer.packString(scope);
        }
        pack("expiresAt", key.expiresAt());
    }
}
