package peer;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** From a Kafka record to a command. Holds what one thread uses again. */
final class CommandDecoder {
    private static final int UUID_TEXT_LENGTH = 36;

    private final MessageDigest sha1;
    private final MessageDigest sha256;

    CommandDecoder() throws NoSuchAlgorithmException {
        sha1 = MessageDigest.getInstance("SHA-1");
        sha256 = MessageDigest.getInstance("SHA-256");
    }

    Command decode(ConsumerRecord<byte[], byte[]> record) throws IOException {
        String id = null;
        String source = null;
        String type = null;
        String time = null;

        for (Header header : record.headers()) {
            switch (header.key()) {
                case "ce_id" -> id = text(header);
                case "ce_source" -> source = text(header);
                case "ce_type" -> type = text(header);
                case "ce_time" -> time = text(header);
                default -> {}
            }
        }
        return new Command(
                record.partition(),
                record.offset(),
                id,
                source,
                type,
                time,
                auditId(source, id),
                digest(type, record.value()),
                KeyIssue.decode(record.value()));
    }

    private static String text(Header header) {
        return new String(header.value(), UTF_8);
    }

    private UUID auditId(String source, String id) {
        sha1.update(source.getBytes(UTF_8));
        sha1.update((byte) 0);
        UUID hashed = uuid(sha1.digest(id.getBytes(UTF_8)));
        if (id.length() != UUID_TEXT_LENGTH) {
            return hashed;
        }
        // Time first, as the worker does it for UUIDv7: the index then grows at its right edge.
        long timeMs = Long.parseLong(id, 0, 8, 16) << 16 | Long.parseLong(id, 9, 13, 16);
        long high = timeMs << 16 | hashed.getMostSignificantBits() & 0xffff;
        return new UUID(high, hashed.getLeastSignificantBits());
    }

    private UUID digest(String type, byte[] value) {
        sha256.update(type.getBytes(UTF_8));
        return uuid(sha256.digest(value));
    }

    private static UUID uuid(byte[] hash) {
        ByteBuffer bytes = ByteBuffer.wrap(hash);
        return new UUID(bytes.getLong(), bytes.getLong());
    }
}
