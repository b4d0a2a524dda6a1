//! What a test wants that the clone cannot give, told by what it says when it fails: its source, which
//! tracebacks quote, and what an assertion compares may name anything.

use std::sync::LazyLock;

use regex::Regex;

use super::junit::Status;
use super::raised::raised;

/// Characters kept of a fixture's name.
const LONGEST: usize = 60;
/// Bytes of a message or of the end of a text that are looked at.
const READ: usize = 64 << 10;

/// What common clients say without their server, the more telling first; the messages are those of
/// the projects named.
const SERVICES: [(&str, &[&str]); 9] = [
    (
        "PostgreSQL",
        &[
            // libpq, by way of psycopg 2 and 3
            "could not connect to server",
            "psycopg2.OperationalError",
            "psycopg.OperationalError",
            "asyncpg.exceptions",
            "is the server running locally and accepting",
            "Is the server running locally and accepting",
            "Is the server running on host",
            "Is the server running on that host and accepting",
        ],
    ),
    (
        "Redis",
        &[
            "redis.exceptions.ConnectionError",
            "redis.exceptions.TimeoutError",
            "connecting to localhost:6379",
            "connecting to 127.0.0.1:6379",
            "valkey.exceptions.ConnectionError",
        ],
    ),
    (
        "MySQL",
        &[
            // mysqlclient, PyMySQL, MySQL Connector
            "Can't connect to MySQL server",
            "Can't connect to local MySQL server",
            "Can't connect to server on",
        ],
    ),
    (
        "MongoDB",
        &[
            "ServerSelectionTimeoutError",
            "pymongo.errors.AutoReconnect",
        ],
    ),
    (
        "Kafka",
        &[
            // kafka-python, confluent-kafka, aiokafka
            "NoBrokersAvailable",
            "KafkaConnectionError",
            "KafkaError{code=_TRANSPORT",
            "Failed to resolve 'kafka",
        ],
    ),
    (
        "RabbitMQ",
        &[
            // pika, kombu
            "pika.exceptions.AMQPConnectionError",
            "AMQPConnectorException",
            "kombu.exceptions.OperationalError",
        ],
    ),
    (
        "Docker",
        &[
            // docker-py, testcontainers, the program
            "Error while fetching server API version",
            "Cannot connect to the Docker daemon",
            "docker.errors.DockerException",
            "/var/run/docker.sock",
            "docker: command not found",
            "No such file or directory: 'docker'",
        ],
    ),
    (
        "Elasticsearch",
        &[
            "elastic_transport.ConnectionError",
            "elasticsearch.exceptions.ConnectionError",
        ],
    ),
    (
        "a network",
        &[
            "Connection refused",
            "ConnectionRefusedError",
            "Network is unreachable",
            "Name or service not known",
            "Temporary failure in name resolution",
            "getaddrinfo failed",
            "No route to host",
            "nodename nor servname",
            "Max retries exceeded with url",
            "DNSLookupError",
            "Could not contact DNS servers",
        ],
    ),
];

/// pytest's word for a fixture that neither the tests nor a plugin define.
static FIXTURE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"fixture '([A-Za-z_]\w*)' not found").ok());

/// What a test of this outcome wants that there is none of: by its traceback or, where there is none, by its
/// message.
pub(super) fn of(status: Status, message: &str, traceback: &str) -> Option<String> {
    if !matches!(status, Status::Failed | Status::Error) {
        return None;
    }
    let mut said = match traceback.trim().is_empty() {
        true => vec![message[..message.floor_char_boundary(READ)].to_owned()],
        false => raised(end(traceback)),
    };
    said.retain(|said| !is_assertion(said));
    let said = said.join("\n");
    let fixture = FIXTURE.as_ref().and_then(|fixture| fixture.captures(&said));
    if let Some(name) = fixture.and_then(|found| found.get(1)) {
        let name: String = name.as_str().chars().take(LONGEST).collect();
        return Some(format!("{PLUGIN}{name}"));
    }
    named(&said).map(str::to_owned)
}

/// Whether what was raised is an assertion that failed: what that compares may name anything.
fn is_assertion(said: &str) -> bool {
    let kind = said.split([':', ' ', '\n']).next().unwrap_or_default();
    let kinds = ["AssertionError", "FailTest"];
    kind == "assert"
        || kinds.iter().any(|of_assertions| kind.ends_with(of_assertions))
        // pytest's words for it.
        || said.contains("DID NOT RAISE")
        || said.contains("DID NOT WARN")
}

/// The service or network that was wanted by what printed this: what failed stands at its end.
pub(super) fn service(printed: &str) -> Option<&'static str> {
    named(end(printed))
}

/// The end of a text, which is all that is looked at.
fn end(text: &str) -> &str {
    let beyond = text.len().saturating_sub(READ);
    &text[text.ceil_char_boundary(beyond)..]
}

/// The service whose client speaks here.
fn named(text: &str) -> Option<&'static str> {
    let said = |words: &&[&str]| words.iter().any(|word| text.contains(word));
    let service = SERVICES.iter().find(|(_, words)| said(words));
    service.map(|(service, _)| *service)
}

/// Before the name of a fixture, in what a test wants.
pub(super) const PLUGIN: &str = "fixture ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_without_their_server_are_told_apart() {
        for (message, expected) in [
            (
                "psycopg2.OperationalError: connection to server at \"localhost\" (::1), port 5432 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
                Some("PostgreSQL"),
            ),
            (
                "psycopg.OperationalError: connection failed: connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed",
                Some("PostgreSQL"),
            ),
            (
                "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
                Some("Redis"),
            ),
            (
                "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on 'localhost' ([Errno 111] Connection refused)\")",
                Some("MySQL"),
            ),
            (
                "kafka.errors.NoBrokersAvailable: NoBrokersAvailable",
                Some("Kafka"),
            ),
            (
                "docker.errors.DockerException: Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))",
                Some("Docker"),
            ),
            (
                "pymongo.errors.ServerSelectionTimeoutError: localhost:27017: [Errno 111] Connection refused",
                Some("MongoDB"),
            ),
            ("pika.exceptions.AMQPConnectionError", Some("RabbitMQ")),
            (
                "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
                Some("a network"),
            ),
            (
                "failed on setup with \"file t.py, line 1\n  def test(mocker):\nE       fixture 'mocker' not found\n>       available fixtures: cache\"",
                Some("fixture mocker"),
            ),
            ("assert 1 == 2", None),
            ("", None),
        ] {
            for (message, text) in [(message, ""), ("no", message)] {
                let wants = of(Status::Error, message, text);
                assert_eq!(wants.as_deref(), expected, "{message} {text}");
                assert_eq!(of(Status::Passed, message, text), None);
            }
        }
        let long = "é".repeat(READ);
        assert_eq!(of(Status::Failed, &long, ""), None);
        assert_eq!(of(Status::Failed, "", &long), None);
    }

    #[test]
    fn what_a_test_compares_is_nothing_that_it_wants() {
        let refused = "E       ConnectionRefusedError: [Errno 111] Connection refused";
        let asserted = "E       AssertionError: assert False is True\nE        +  where False = \
            classify(ConnectionRefusedError(111, 'Connection refused'))";
        let source = ">       assert classify(OSError(111, \"Connection refused\")) is True";
        let frame = "Traceback (most recent call last):\n  File \"a.py\", line 1, in test\n    \
            with self.assertRaises(ConnectionRefusedError): pass";
        for (message, text, expected) in [
            ("assert False", format!("{source}\n{asserted}\n"), None),
            ("", format!("{source}\nE       KeyError: 1\n"), None),
            (
                "Failed: DID NOT RAISE",
                "E       Failed: DID NOT RAISE <class 'ConnectionRefusedError'>".to_owned(),
                None,
            ),
            (
                "ConnectionRefusedError not raised",
                format!("{frame}\nAssertionError: ConnectionRefusedError not raised\n"),
                None,
            ),
            (
                "AssertionError: 'Connection refused' != 'b'\n- Connection refused\n+ b",
                String::new(),
                None,
            ),
            ("assert 'Connection refused' == 'b'", String::new(), None),
            // What was raised before an assertion failed was none of that.
            (
                "",
                format!("{refused}\n\n{source}\n{asserted}"),
                Some("a network"),
            ),
            (
                "",
                format!("{frame}\nOSError: Connection refused\n"),
                Some("a network"),
            ),
        ] {
            let wants = of(Status::Failed, message, &text);
            assert_eq!(wants.as_deref(), expected, "{message} {text}");
        }
    }

    #[test]
    fn of_an_output_its_end_tells_what_was_wanted() {
        let refused =
            "E   redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379.";
        let much = "é".repeat(READ);
        for (printed, expected) in [
            (refused.to_owned(), Some("Redis")),
            (format!("{much}{refused}\n"), Some("Redis")),
            (format!("{refused}{much}"), None),
            (
                "django.db.utils.OperationalError: connection to server at \"localhost\" (127.0.0.1), \
                 port 5432 failed: Connection refused\n\tIs the server running on that host and \
                 accepting TCP/IP connections?\n"
                    .to_owned(),
                Some("PostgreSQL"),
            ),
            // A plugin that is not there is no service.
            ("E       fixture 'mocker' not found".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(service(&printed), expected, "{printed:.200}");
        }
    }
}
