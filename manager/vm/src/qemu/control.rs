//! QMP, the hypervisor's control protocol: JSON objects, one on each line
//! (docs/interop/qmp-spec.txt in QEMU's sources).

use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
    time::sleep,
};

use crate::VmError;

/// Longest line that is believed, bytes: a clone may have taken its hypervisor over.
const LINE_LIMIT: usize = 1 << 20;

/// A machine's control channel.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    buffer: Vec<u8>,
    next_id: u64,
}

impl Control {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            next_id: 1,
        }
    }

    /// Lets a clone load its state and run, in one go: nothing is waited for in between. `cont`
    /// during the load takes effect when it is done.
    pub(crate) async fn restore(&mut self, state: RawFd) -> Result<(), VmError> {
        let first = self.next_id;
        let mut lines = String::new();
        for (command, arguments) in [
            ("qmp_capabilities", json!({})),
            ("migrate-set-capabilities", ignore_shared()),
            ("migrate-incoming", json!({ "uri": format!("fd:{state}") })),
            ("cont", json!({})),
        ] {
            lines.push_str(&self.line(command, &arguments));
        }
        self.write(&lines).await?;
        for id in first..self.next_id {
            self.answer(id).await?;
        }
        Ok(())
    }

    /// Writes a booted machine's state, without the memory that it shares with us, and leaves it
    /// stopped. It is not stopped before: the state would say so, and a clone that was told to run
    /// while it still loaded would stay stopped.
    pub(crate) async fn save(&mut self, state: &File) -> Result<(), VmError> {
        self.execute("qmp_capabilities", json!({})).await?;
        self.execute("migrate-set-capabilities", ignore_shared())
            .await?;
        self.pass("state", state).await?;
        self.execute("migrate", json!({ "uri": "fd:state" }))
            .await?;
        loop {
            let progress = self.execute("query-migrate", json!({})).await?;
            match progress["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    return Err(VmError::Control(format!(
                        "saving the state failed: {progress}"
                    )));
                }
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Asks the hypervisor to end; it does not always answer.
    pub(crate) async fn quit(&mut self) -> Result<(), VmError> {
        let line = self.line("quit", &json!({}));
        self.write(&line).await
    }

    /// Sends the guest a non-maskable interrupt. None has any business there: its kernel panics.
    ///
    /// # Errors
    /// The machine has ended.
    pub async fn interrupt_guest(&mut self) -> Result<(), VmError> {
        self.execute("inject-nmi", json!({})).await.map(drop)
    }

    /// Stops the guest as a whole, its agent too, and leaves the machine as it is.
    ///
    /// # Errors
    /// The machine has ended.
    pub async fn pause_guest(&mut self) -> Result<(), VmError> {
        self.execute("stop", json!({})).await.map(drop)
    }

    async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, VmError> {
        let id = self.next_id;
        let line = self.line(command, &arguments);
        self.write(&line).await?;
        self.answer(id).await
    }

    fn line(&mut self, command: &str, arguments: &Value) -> String {
        let id = self.next_id;
        self.next_id += 1;
        format!(
            "{}\n",
            json!({ "execute": command, "arguments": arguments, "id": id })
        )
    }

    /// Hands a file over under a name. (Unlike an incoming state, an outgoing one cannot be named by
    /// the number of an inherited descriptor.)
    async fn pass(&mut self, name: &str, file: &File) -> Result<(), VmError> {
        let id = self.next_id;
        let line = self.line("getfd", &json!({ "fdname": name }));
        let socket = self.stream.as_raw_fd();
        let send = || {
            let numbers = [file.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&numbers)];
            let text = [IoSlice::new(line.as_bytes())];
            Ok(sendmsg::<()>(
                socket,
                &text,
                &rights,
                MsgFlags::empty(),
                None,
            )?)
        };
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, send)
            .await
            .map_err(lost)?;
        // The descriptor went with the first byte.
        self.write(&line[sent..]).await?;
        self.answer(id).await.map(drop)
    }

    async fn write(&mut self, lines: &str) -> Result<(), VmError> {
        self.stream.write_all(lines.as_bytes()).await.map_err(lost)
    }

    /// Skips greetings and events up to the answer to this command.
    async fn answer(&mut self, id: u64) -> Result<Value, VmError> {
        loop {
            let line = self.next_line().await?;
            let mut message: Value = serde_json::from_slice(&line)
                .map_err(|error| VmError::Control(format!("it answered with no JSON: {error}")))?;
            if message["id"] != id {
                continue;
            }
            if let Some(error) = message.get("error") {
                let text = error["desc"].as_str().unwrap_or("no reason given");
                return Err(VmError::Control(text.chars().take(400).collect()));
            }
            return Ok(message["return"].take());
        }
    }

    async fn next_line(&mut self) -> Result<Vec<u8>, VmError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > LINE_LIMIT {
                return Err(VmError::Control(format!(
                    "it sent a line over {LINE_LIMIT} bytes"
                )));
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(lost)? == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// The guest's memory is a file that we hold: only the devices go into the state.
fn ignore_shared() -> Value {
    json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] })
}

fn lost(error: io::Error) -> VmError {
    VmError::Control(format!("the control channel closed ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_told_from_events_and_errors_are_passed_on() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut control = Control::new(ours);
        theirs
            .write_all(
                b"{\"QMP\":{}}\n{\"event\":\"STOP\"}\n{\"return\":{\"a\":1},\"id\":1}\n\
                  {\"error\":{\"desc\":\"no such thing\"},\"id\":2}\n",
            )
            .await
            .unwrap();
        assert_eq!(control.execute("x", json!({})).await.unwrap()["a"], 1);
        let error = control
            .execute("y", json!({}))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("no such thing"), "{error}");
    }

    #[tokio::test]
    async fn an_endless_line_is_an_error() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut control = Control::new(ours);
        let flood =
            tokio::spawn(async move { while theirs.write_all(&[b'x'; 65536]).await.is_ok() {} });
        let error = control
            .execute("x", json!({}))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("line over"), "{error}");
        drop(control);
        flood.await.unwrap();
    }
}
