import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventDeserializer;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Publishes commands and reads audit events by CloudEvents' Java SDK. See ../README.md. */
public final class Sdk {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Sdk() {}

    private static CloudEvent event(JsonNode given) throws Exception {
        CloudEventBuilder builder = CloudEventBuilder.v1()
                .withId(given.get("id").asText())
                .withSource(URI.create(given.get("source").asText()))
                .withType(given.get("type").asText())
                .withExtension("traceparent", given.get("traceparent").asText());
        byte[] data = JSON.writeValueAsBytes(given.get("data"));
        return given.get("mode").asText().equals("default")
                ? builder.withData(data).build()
                : builder.withData("application/json", data).build();
    }

    private static KafkaProducer<String, CloudEvent> producer(String brokers, boolean structured) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", brokers));
        if (structured) {
            settings.put(CloudEventSerializer.ENCODING_CONFIG, Encoding.STRUCTURED);
            settings.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
        }
        CloudEventSerializer serializer = new CloudEventSerializer();
        serializer.configure(settings, false);
        return new KafkaProducer<>(settings, new StringSerializer(), serializer);
    }

    private static void publish(String brokers, String topic) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (KafkaProducer<String, CloudEvent> binary = producer(brokers, false);
                KafkaProducer<String, CloudEvent> structured = producer(brokers, true)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode given = JSON.readTree(line);
                boolean isStructured = given.get("mode").asText().equals("structured");
                (isStructured ? structured : binary)
                        .send(new ProducerRecord<>(topic, given.get("key").asText(), event(given)))
                        .get();
            }
        }
    }

    private static String told(CloudEvent event) throws Exception {
        ObjectNode line = JSON.createObjectNode();
        line.put("id", event.getId());
        line.put("source", event.getSource().toString());
        line.put("type", event.getType());
        line.put("subject", event.getSubject());
        line.put("time", event.getTime().toString());
        line.put("causationid", (String) event.getExtension("causationid"));
        line.put("datacontenttype", event.getDataContentType());
        line.put("data", Base64.getEncoder().encodeToString(event.getData().toBytes()));
        return JSON.writeValueAsString(line);
    }

    private static void read(String brokers, String topic, int count) throws Exception {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", brokers,
                "group.id", "sdk-java-" + UUID.randomUUID(),
                "auto.offset.reset", "earliest",
                "isolation.level", "read_committed");
        try (KafkaConsumer<String, CloudEvent> consumer =
                new KafkaConsumer<>(settings, new StringDeserializer(), new CloudEventDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int left = count; left > 0; ) {
                for (ConsumerRecord<String, CloudEvent> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (left-- > 0) {
                        System.out.println(told(record.value()));
                    }
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("publish")) {
            publish(arguments[1], arguments[2]);
        } else {
            read(arguments[1], arguments[2], Integer.parseInt(arguments[3]));
        }
    }
}
