//! rtpengine in userland, driven by its `ng` protocol: a cookie and a bencoded dictionary a
//! datagram. Only what the benchmark says is encoded, only what it needs is read.

use std::net::{SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::net;
use crate::process::Process;
use crate::wait;

/// Its media ports.
const PORTS: (u16, u16) = (20_000, 29_999);

/// A running rtpengine.
#[derive(Debug)]
pub struct Rtpengine {
    process: Process,
    control: UdpSocket,
    cookie: u64,
}

impl Rtpengine {
    /// Starts it with media and control on `control`'s address.
    ///
    /// # Errors
    /// When it does not listen soon.
    pub fn start(control: SocketAddrV4, threads: usize) -> anyhow::Result<Rtpengine> {
        let program = crate::tools::find("rtpengine").unwrap_or_else(|| "rtpengine".into());
        let mut command = Command::new(program);
        command
            .arg("--config-file=none")
            .arg(format!("--interface={}", control.ip()));
        command.arg(format!("--listen-ng={control}"));
        command
            .arg(format!("--port-min={}", PORTS.0))
            .arg(format!("--port-max={}", PORTS.1));
        // Without its kernel module, which cannot be loaded on most build machines.
        command.args([
            "--table=-1",
            "--foreground",
            "--log-level=3",
            "--log-stderr",
        ]);
        command.arg(format!("--num-threads={threads}"));
        let mut process = Process::start("rtpengine", &mut command)?;
        let ready = wait::until_true("rtpengine listening", wait::SOON, || {
            net::is_bound(control, true) || !process.is_running()
        });
        if ready.is_err() || !process.is_running() {
            bail!("rtpengine did not start:\n{}", process.tail());
        }
        let socket = UdpSocket::bind((*control.ip(), 0))?;
        socket.connect(control)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Rtpengine {
            process,
            control: socket,
            cookie: 0,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `offer` or `answer` of the call: gives back the session description for the other side.
    ///
    /// # Errors
    /// When it refuses or is silent.
    pub fn describe(&mut self, fields: &[(&str, Value<'_>)]) -> anyhow::Result<String> {
        let reply = self.command(fields)?;
        let sdp = string_after(&reply, "3:sdp").context("no sdp in the reply")?;
        Ok(sdp.to_owned())
    }

    /// Any command that is answered with `ok`.
    ///
    /// # Errors
    /// When it refuses or is silent.
    pub fn command(&mut self, fields: &[(&str, Value<'_>)]) -> anyhow::Result<String> {
        self.cookie += 1;
        let cookie = format!("{:08} ", self.cookie);
        let mut out = cookie.clone();
        // A bencoded dictionary is in the order of its keys.
        let mut fields = fields.to_vec();
        fields.sort_by_key(|(key, _)| *key);
        out.push('d');
        for (key, value) in fields {
            text(&mut out, key);
            match value {
                Value::Text(value) => text(&mut out, value),
                Value::List(values) => {
                    out.push('l');
                    values.iter().for_each(|value| text(&mut out, value));
                    out.push('e');
                }
            }
        }
        out.push('e');
        self.control.send(out.as_bytes())?;
        let mut buffer = [0; 65_536];
        loop {
            let length = self
                .control
                .recv(&mut buffer)
                .context("rtpengine is silent")?;
            let reply = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !reply.starts_with(&cookie) {
                continue;
            }
            if !reply.contains("6:result2:ok") {
                bail!("rtpengine: {reply}");
            }
            return Ok(reply);
        }
    }
}

/// A value of the `ng` protocol.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Strings.
    List(&'a [&'a str]),
    /// A string.
    Text(&'a str),
}

fn text(out: &mut String, text: &str) {
    out.push_str(&format!("{}:{text}", text.len()));
}

/// The string that follows `key` in a bencoded dictionary.
fn string_after<'a>(reply: &'a str, key: &str) -> Option<&'a str> {
    let rest = &reply[reply.find(key)? + key.len()..];
    let (length, rest) = rest.split_once(':')?;
    rest.get(..length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_string_by_its_key() {
        assert_eq!(
            string_after("d6:result2:ok3:sdp5:v=0\r\ne", "3:sdp"),
            Some("v=0\r\n")
        );
        assert_eq!(string_after("d6:result2:oke", "3:sdp"), None);
    }
}
