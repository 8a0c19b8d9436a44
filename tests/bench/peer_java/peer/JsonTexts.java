package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.io.StringWriter;
import java.util.Map;

/** The documents of the json columns. */
final class JsonTexts {
    private static final JsonFactory FACTORY = new JsonFactory();

    private JsonTexts() {}

    private interface Fields {
        void write(JsonGenerator json) throws IOException;
    }

    private static String object(Fields fields) throws IOException {
        StringWriter text = new StringWriter(128);
        try (JsonGenerator json = FACTORY.createGenerator(text)) {
            json.writeStartObject();
            fields.write(json);
            json.writeEndObject();
        }
        return text.toString();
    }

    static String ref(String type, String id) throws IOException {
        return object(
                json -> {
                    json.writeStringField("type", type);
                    json.writeStringField("id", id);
                });
    }

    static String labels(Map<String, String> labels) throws IOException {
        return object(
                json -> {
                    for (Map.Entry<String, String> label : labels.entrySet()) {
                        json.writeStringField(label.getKey(), label.getValue());
                    }
                });
    }

    /** What the audit event of an issued key says about it. */
    static String metadata(KeyIssue key) throws IOException {
        return object(
                json -> {
                    json.writeStringField("name", key.name());
                    json.writeFieldName("scopes");
                    json.writeArray(key.scopes(), 0, key.scopes().length);
                    json.writeStringField("expiresAt", key.expiresAt());
                });
    }
}
