package peer;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;

/** The body of a key.issue command; what is absent is null. Times are RFC 3339 text. */
record KeyIssue(
        String id,
        String hash,
        Ref owner,
        String name,
        Ref createdBy,
        String[] scopes,
        Map<String, String> labels,
        String createdAt,
        String expiresAt) {

    record Ref(String kind, String id) {}

    static KeyIssue decode(byte[] body) throws IOException {
        try (MessageUnpacker unpacker = MessagePack.newDefaultUnpacker(body)) {
            return decode(unpacker);
        }
    }

    private static KeyIssue decode(MessageUnpacker unpacker) throws IOException {
        String id = null;
        String hash = null;
        Ref owner = null;
        String name = null;
        Ref createdBy = null;
        String[] scopes = null;
        Map<String, String> labels = null;
        String createdAt = null;
        String expiresAt = null;

        for (int fields = unpacker.unpackMapHeader(); fields > 0; fields--) {
            String field = unpacker.unpackString();
            if (unpacker.tryUnpackNil()) {
                continue;
            }
            switch (field) {
                case "id" -> id = unpacker.unpackString();
                case "hash" -> hash = unpacker.unpackString();
                case "owner" -> owner = ref(unpacker);
                case "name" -> name = unpacker.unpackString();
                case "createdBy" -> createdBy = ref(unpacker);
                case "scopes" -> scopes = texts(unpacker);
                case "labels" -> labels = textMap(unpacker);
                case "createdAt" -> createdAt = unpacker.unpackString();
                case "expiresAt" -> expiresAt = unpacker.unpackString();
                default -> unpacker.skipValue();
            }
        }
        return new KeyIssue(
                id, hash, owner, name, createdBy, scopes, labels, createdAt, expiresAt);
    }

    private static Ref ref(MessageUnpacker unpacker) throws IOException {
        String kind = null;
        String id = null;

        for (int fields = unpacker.unpackMapHeader(); fields > 0; fields--) {
            switch (unpacker.unpackString()) {
                case "kind" -> kind = unpacker.unpackString();
                case "id" -> id = unpacker.unpackString();
                default -> unpacker.skipValue();
            }
        }
        return new Ref(kind, id);
    }

    private static String[] texts(MessageUnpacker unpacker) throws IOException {
        String[] texts = new String[unpacker.unpackArrayHeader()];

        for (int i = 0; i < texts.length; i++) {
            texts[i] = unpacker.unpackString();
        }
        return texts;
    }

    private static Map<String, String> textMap(MessageUnpacker unpacker) throws IOException {
        Map<String, String> map = new LinkedHashMap<>();

        for (int entries = unpacker.unpackMapHeader(); entries > 0; entries--) {
            map.put(unpacker.unpackString(), unpacker.unpackString());
        }
        return map;
    }
}
