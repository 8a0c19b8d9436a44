package peer;

import java.util.UUID;

/** A command as it was received: where it stood, its envelope, its body; what follows from them. */
record Command(
        int partition,
        long offset,
        String id,
        String source,
        String type,
        String time,
        UUID auditId,
        UUID digest,
        KeyIssue key) {}
