//! What a test wants that the clone cannot give, told by what it says when it fails.

use std::sync::LazyLock;

use regex::Regex;

use super::junit::Status;

/// Characters kept of a fixture's name.
const LONGEST: usize = 60;
/// Bytes of a message that are looked at.
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

/// What a test of this outcome wants that there is none of, by its message.
pub(super) fn of(status: Status, message: &str) -> Option<String> {
    if !matches!(status, Status::Failed | Status::Error) {
        return None;
    }
    let message = &message[..message.floor_char_boundary(READ)];
    let fixture = FIXTURE
        .as_ref()
        .and_then(|fixture| fixture.captures(message));
    if let Some(name) = fixture.and_then(|found| found.get(1)) {
        let name: String = name.as_str().chars().take(LONGEST).collect();
        return Some(format!("{PLUGIN}{name}"));
    }
    named(message).map(str::to_owned)
}

/// The service or network that was wanted by what printed this: what failed stands at its end.
pub(super) fn service(printed: &str) -> Option<&'static str> {
    let beyond = printed.len().saturating_sub(READ);
    named(&printed[printed.ceil_char_boundary(beyond)..])
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
            assert_eq!(of(Status::Error, message).as_deref(), expected, "{message}");
            assert_eq!(of(Status::Passed, message), None);
        }
        assert_eq!(of(Status::Failed, &"é".repeat(READ)), None);
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
