//! A proxy on 127.0.0.1. Whichever host is asked for, the same server answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub struct Proxy {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Leads to the server at this port of 127.0.0.1.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for connection in listener.incoming() {
                // Client and server may go away.
                let _ = serve(connection.unwrap(), server, &log);
            }
        });
        Self { port, asked }
    }

    /// What it was asked for: the lines of each request, or `SOCKS` and the host.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, server: u16, log: &Mutex<Vec<String>>) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut sent = BufReader::new(client.try_clone()?);
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    if sent.fill_buf()?.first() == Some(&5) {
        let host = shake_hands(&mut sent, &mut client)?;
        log.lock().unwrap().push(format!("SOCKS {host}"));
    } else {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") && sent.read_line(&mut request)? > 0 {}
        if request.starts_with("CONNECT ") {
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        } else {
            server.write_all(request.as_bytes())?;
        }
        log.lock().unwrap().push(request);
    }
    let mut onwards = server.try_clone()?;
    let sending = thread::spawn(move || {
        let _ = io::copy(&mut sent, &mut onwards);
        let _ = onwards.shutdown(Shutdown::Write);
    });
    // The server ends the connection after its one answer.
    let answered = io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Both)?;
    sending.join().unwrap();
    answered.map(drop)
}

/// SOCKS 5 without a password (RFC 1928), for a host that is told by its name.
fn shake_hands(sent: &mut impl Read, client: &mut impl Write) -> io::Result<String> {
    // Version, how many methods, the one.
    let mut offer = [0; 3];
    sent.read_exact(&mut offer)?;
    client.write_all(&[5, 0])?;
    // Version, command, nothing, the kind of address, and how long it is; then the port.
    let mut request = [0; 5];
    sent.read_exact(&mut request)?;
    assert_eq!(request[3], 3, "no name: {request:?}");
    let mut host = vec![0; usize::from(request[4])];
    sent.read_exact(&mut host)?;
    sent.read_exact(&mut [0; 2])?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(String::from_utf8_lossy(&host).into_owned())
}
