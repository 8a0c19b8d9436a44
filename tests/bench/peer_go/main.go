// The best service that a user would write in Go for key.issue commands: franz-go in a transactional
// group session, pgx with CopyFrom, up to 2,000 commands a poll, everything of a poll in one
// PostgreSQL and one Kafka transaction. It is what the worker is compared with, not part of it.
package main

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/vmihailenco/msgpack/v5"
)

const pollMax = 2000

type ref struct {
	Kind string `msgpack:"kind,omitempty" json:"kind,omitempty"`
	Type string `msgpack:"type,omitempty" json:"type,omitempty"`
	ID   string `msgpack:"id" json:"id"`
}

type issue struct {
	ID        string            `msgpack:"id"`
	Hash      string            `msgpack:"hash"`
	Owner     ref               `msgpack:"owner"`
	Name      *string           `msgpack:"name"`
	CreatedBy *ref              `msgpack:"createdBy"`
	Scopes    []string          `msgpack:"scopes"`
	Labels    map[string]string `msgpack:"labels"`
	Created   string            `msgpack:"createdAt"`
	Expires   string            `msgpack:"expiresAt"`
}

type metadata struct {
	Name      *string  `msgpack:"name" json:"name"`
	Scopes    []string `msgpack:"scopes" json:"scopes"`
	ExpiresAt string   `msgpack:"expiresAt" json:"expiresAt"`
}

type event struct {
	ID         string   `msgpack:"id"`
	OccurredAt string   `msgpack:"occurredAt"`
	Category   string   `msgpack:"category"`
	Action     string   `msgpack:"action"`
	Outcome    string   `msgpack:"outcome"`
	Subject    ref      `msgpack:"subject"`
	Resource   ref      `msgpack:"resource"`
	Metadata   metadata `msgpack:"metadata"`
}

type command struct {
	record  *kgo.Record
	id      string
	source  string
	kind    string
	time    string
	auditID [16]byte
	issue   issue
}

type service struct {
	session *kgo.GroupTransactSession
	db      *pgx.Conn
	audit   string
}

func auditID(source, id string) (sum [16]byte) {
	hash := sha1.Sum([]byte(source + "\x00" + id))
	copy(sum[:], hash[:16])
	// Time first, as the worker does it for UUIDv7: the index then grows at its right edge.
	if len(id) == 36 {
		digits := id[0:8] + id[9:13]
		for i := 0; i < 6; i++ {
			sum[i] = hexByte(digits[2*i])<<4 | hexByte(digits[2*i+1])
		}
	}
	return sum
}

func hexByte(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func decode(record *kgo.Record) command {
	c := command{record: record}
	for _, header := range record.Headers {
		switch header.Key {
		case "ce_id":
			c.id = string(header.Value)
		case "ce_source":
			c.source = string(header.Value)
		case "ce_type":
			c.kind = string(header.Value)
		case "ce_time":
			c.time = string(header.Value)
		}
	}
	if err := msgpack.Unmarshal(record.Value, &c.issue); err != nil {
		log.Fatal("decode: ", err)
	}
	c.auditID = auditID(c.source, c.id)
	return c
}

func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		log.Fatal("time: ", err)
	}
	return at
}

func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		log.Fatal("json: ", err)
	}
	return string(text)
}

// known answers which of the commands are in the audit log.
func known(ctx context.Context, tx pgx.Tx, commands []command) map[[16]byte]bool {
	ids := make([][16]byte, len(commands))
	for i := range commands {
		ids[i] = commands[i].auditID
	}
	rows, err := tx.Query(ctx, "SELECT id FROM auth_audit_events WHERE id = ANY($1::uuid[])", ids)
	if err != nil {
		log.Fatal("find: ", err)
	}
	found := map[[16]byte]bool{}
	for rows.Next() {
		var id [16]byte
		if err := rows.Scan(&id); err != nil {
			log.Fatal("find: ", err)
		}
		found[id] = true
	}
	return found
}

var keyColumns = []string{"id", "hash", "owner_kind", "owner_id", "name", "created_by_kind",
	"created_by_id", "created_at", "updated_at", "expires_at", "status", "scopes", "labels"}

func keyRow(c *command) []any {
	occurred := parseTime(c.time)
	return []any{c.issue.ID, c.issue.Hash, c.issue.Owner.Kind, c.issue.Owner.ID, c.issue.Name,
		c.issue.CreatedBy.Kind, c.issue.CreatedBy.ID, parseTime(c.issue.Created), occurred,
		parseTime(c.issue.Expires), "active", c.issue.Scopes, jsonText(c.issue.Labels)}
}

var auditColumns = []string{"id", "occurred_at", "category", "action", "outcome", "subject",
	"resource", "metadata", "entity", "command_source", "command_id", "command_type",
	"command_digest", "topic_id", "partition", "offset"}

func auditRow(c *command) []any {
	digest := sha256.Sum256(append([]byte(c.kind), c.record.Value...))
	return []any{c.auditID, parseTime(c.time), "key", "key.issued", "applied",
		jsonText(ref{Type: c.issue.Owner.Kind, ID: c.issue.Owner.ID}),
		jsonText(ref{Type: "key", ID: c.issue.ID}),
		jsonText(metadata{c.issue.Name, c.issue.Scopes, c.issue.Expires}), c.issue.ID, c.source,
		c.id, c.kind, [16]byte(digest[:16]), int16(1), c.record.Partition, c.record.Offset}
}

func (s *service) store(ctx context.Context, commands []command) []command {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		log.Fatal("begin: ", err)
	}
	found := known(ctx, tx, commands)
	fresh := commands[:0]
	for _, c := range commands {
		if !found[c.auditID] {
			found[c.auditID] = true
			fresh = append(fresh, c)
		}
	}
	copyIn := func(table string, columns []string, row func(*command) []any) {
		source := pgx.CopyFromSlice(len(fresh), func(i int) ([]any, error) { return row(&fresh[i]), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, source); err != nil {
			log.Fatal(table, ": ", err)
		}
	}
	copyIn("auth_keys", keyColumns, keyRow)
	copyIn("auth_audit_events", auditColumns, auditRow)
	if err := tx.Commit(ctx); err != nil {
		log.Fatal("commit: ", err)
	}
	return fresh
}

func uuidText(id [16]byte) string {
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 36)
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, digits[b>>4], digits[b&15])
	}
	return string(text)
}

func (s *service) publish(ctx context.Context, c *command) {
	id := uuidText(c.auditID)
	value, err := msgpack.Marshal(event{id, c.time, "key", "key.issued", "applied",
		ref{Type: c.issue.Owner.Kind, ID: c.issue.Owner.ID}, ref{Type: "key", ID: c.issue.ID},
		metadata{c.issue.Name, c.issue.Scopes, c.issue.Expires}})
	if err != nil {
		log.Fatal("encode: ", err)
	}
	header := func(key, value string) kgo.RecordHeader {
		return kgo.RecordHeader{Key: key, Value: []byte(value)}
	}
	record := &kgo.Record{Topic: s.audit, Key: []byte(c.issue.ID), Value: value,
		Headers: []kgo.RecordHeader{header("ce_specversion", "1.0"), header("ce_id", id),
			header("ce_source", "peer"), header("ce_type", "dev.catalyst.audit.key.issued.v1"),
			header("ce_subject", c.issue.ID), header("ce_time", c.time),
			header("ce_causationid", c.id), header("content-type", "application/vnd.msgpack")}}
	s.session.Produce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			log.Fatal("produce: ", err)
		}
	})
}

func (s *service) work(ctx context.Context, records []*kgo.Record) {
	commands := make([]command, len(records))
	for i, record := range records {
		commands[i] = decode(record)
	}
	fresh := s.store(ctx, commands)
	if err := s.session.Begin(); err != nil {
		log.Fatal("begin: ", err)
	}
	for i := range fresh {
		s.publish(ctx, &fresh[i])
	}
	if _, err := s.session.End(ctx, kgo.TryCommit); err != nil {
		log.Fatal("end: ", err)
	}
}

func main() {
	conninfo := flag.String("conninfo", "", "")
	schema := flag.String("schema", "public", "")
	brokers := flag.String("brokers", "localhost:9092", "")
	topic := flag.String("topic", "", "")
	audit := flag.String("audit-topic", "", "")
	group := flag.String("group", "bench", "")
	flag.Parse()

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	ctx := context.Background()
	db, err := pgx.Connect(ctx, *conninfo)
	if err != nil {
		log.Fatal("connect: ", err)
	}
	if _, err := db.Exec(ctx, "SET search_path = "+pgx.Identifier{*schema}.Sanitize()); err != nil {
		log.Fatal("search_path: ", err)
	}
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(*brokers), kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*topic), kgo.TransactionalID(*group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		log.Fatal("kafka: ", err)
	}
	s := &service{session: session, db: db, audit: *audit}
	for stop.Err() == nil {
		fetches := session.PollRecords(stop, pollMax)
		if records := fetches.Records(); len(records) > 0 {
			s.work(ctx, records)
		}
	}
	session.Close()
	_ = db.Close(ctx)
}
