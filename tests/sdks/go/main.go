// Publishes commands and reads audit events by CloudEvents' Go SDK. See ../README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/client"
)

type command struct {
	Mode, ID, Source, Type, Key, Traceparent string
	Data                                     json.RawMessage
}

type told struct {
	ID              string      `json:"id"`
	Source          string      `json:"source"`
	Type            string      `json:"type"`
	Subject         string      `json:"subject"`
	Time            time.Time   `json:"time"`
	CausationID     interface{} `json:"causationid"`
	DataContentType string      `json:"datacontenttype"`
	Data            []byte      `json:"data"`
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	return config
}

func event(given command) cloudevents.Event {
	event := cloudevents.NewEvent()
	event.SetID(given.ID)
	event.SetSource(given.Source)
	event.SetType(given.Type)
	event.SetExtension("traceparent", given.Traceparent)
	event.SetExtension("partitionkey", given.Key)
	if given.Mode == "default" {
		// bytes are taken as they are; the content type is not set by them
		must(event.SetData("", []byte(given.Data)))
	} else {
		must(event.SetData(cloudevents.ApplicationJSON, given.Data))
	}
	return event
}

func publish(brokers []string, topic string) {
	sender, err := kafka_sarama.NewSender(brokers, settings(), topic)
	must(err)
	publisher, err := cloudevents.NewClient(sender)
	must(err)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var given command
		must(json.Unmarshal(lines.Bytes(), &given))
		context := context.Background()
		if given.Mode == "structured" {
			context = binding.WithForceStructured(context)
		}
		if result := publisher.Send(context, event(given)); cloudevents.IsUndelivered(result) {
			log.Fatal(result)
		}
	}
	must(lines.Err())
	must(sender.Close(context.Background()))
}

func read(brokers []string, topic string, count int) {
	group := "sdk-go-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	consumer, err := kafka_sarama.NewConsumer(brokers, settings(), group, topic)
	must(err)
	receiver, err := cloudevents.NewClient(consumer, client.WithPollGoroutines(1))
	must(err)
	context, stop := context.WithCancel(context.Background())
	output := json.NewEncoder(os.Stdout)
	must(receiver.StartReceiver(context, func(event cloudevents.Event) {
		if count > 0 {
			must(output.Encode(told{
				event.ID(), event.Source(), event.Type(), event.Subject(), event.Time(),
				event.Extensions()["causationid"], event.DataContentType(), event.Data(),
			}))
		}
		if count--; count == 0 {
			stop()
		}
	}))
}

func main() {
	brokers, topic := strings.Split(os.Args[2], ","), os.Args[3]
	if os.Args[1] == "publish" {
		publish(brokers, topic)
		return
	}
	count, err := strconv.Atoi(os.Args[4])
	must(err)
	read(brokers, topic, count)
}
