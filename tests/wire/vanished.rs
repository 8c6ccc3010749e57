//! A peer that vanishes without a word: no FIN, no RST, its packets simply stop. The socket itself must find out, whether
//! something is under way or not, within half a minute (the kernel alone takes a quarter of an hour).
//!
//! The peer is an echo server in a network namespace of this test; the end of a virtual cable goes there. It vanishes by a route
//! into nothing.

use crate::support::{Process, program};
use madang::field::{Dial, Wire};
use madang::site::{Address, Id};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 15_020;
/// 20 s of TCP_USER_TIMEOUT, and what the kernel's timers are late by.
const BOUND: Duration = Duration::from_secs(30);

/// A network namespace with one cable, gone with the test.
struct Elsewhere {
    name: String,
    ours: String,
    theirs: String,
}

fn ip(args: &[&str]) -> bool {
    let done = Command::new("ip").args(args).stderr(Stdio::null()).status();
    done.is_ok_and(|s| s.success())
}

impl Elsewhere {
    /// `None` where this user may not make one.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let (name, here, there) = (format!("madang{id}"), format!("mdh{id}"), format!("mdt{id}"));
        // A /30 of the range for benchmarks (RFC 2544): nobody's.
        let (a, b) = (id / 64 % 256, id % 64 * 4);
        let (ours, theirs) = (format!("198.18.{a}.{}", b + 1), format!("198.18.{a}.{}", b + 2));
        let all = Self { name, ours, theirs };
        let (name, ours, theirs) = (&all.name, format!("{}/30", all.ours), format!("{}/30", all.theirs));
        let made = ip(&["netns", "add", name])
            && ip(&[
                "link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name,
            ])
            && ip(&["addr", "add", &ours, "dev", &here])
            && ip(&["link", "set", &here, "up"])
            && ip(&["-n", name, "addr", "add", &theirs, "dev", &there])
            && ip(&["-n", name, "link", "set", &there, "up"]);
        if !made {
            assert!(
                std::env::var_os("MADANG_REQUIRE_PEERS").is_none(),
                "a network namespace is required (root, iproute2)"
            );
            println!("skipped: no network namespace can be made here");
        }
        made.then_some(all)
    }

    fn echo(&self) -> Process {
        let listen = format!("TCP-LISTEN:{PORT},fork,reuseaddr");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "socat", &listen, "EXEC:cat"]);
        Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// From now on nothing comes back.
    fn vanish(&self) {
        let to_us = format!("{}/32", self.ours);
        assert!(ip(&["-n", &self.name, "route", "add", "blackhole", &to_us]));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Connections that nobody ends keep its servers, and these keep it; the cable goes with it.
        let inside = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let inside = inside
            .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
            .unwrap_or_default();
        for pid in inside.split_whitespace() {
            let _ended = Command::new("kill").arg(pid).status();
        }
        ip(&["netns", "del", &self.name]);
    }
}

async fn open(address: &Address) -> Option<Box<dyn Wire>> {
    for _ in 0..50 {
        if let Ok(mut wire) = Dial::Sockets.open(&Id::new("device"), address).await {
            let mut byte = [7u8];
            wire.write_all(&byte).await.ok()?;
            wire.read_exact(&mut byte).await.ok()?;
            return (byte == [7]).then_some(wire);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// How long it takes until the socket says that nobody is there.
async fn noticed(mut wire: Box<dyn Wire>, ask: bool) -> Option<Duration> {
    let begun = Instant::now();
    if ask {
        wire.write_all(&[8]).await.ok()?;
    }
    let mut byte = [0u8];
    let read = tokio::time::timeout(BOUND, wire.read_exact(&mut byte)).await;
    read.ok()?.err().map(|_| begun.elapsed())
}

#[tokio::test]
async fn a_peer_that_vanishes_is_noticed_by_a_socket_that_asks_and_by_one_that_waits() {
    if program("ip").is_none() || program("socat").is_none() {
        return;
    }
    let Some(elsewhere) = Elsewhere::new() else { return };
    let _echo = elsewhere.echo();
    let address = Address::parse(&format!("tcp://{}:{PORT}", elsewhere.theirs)).unwrap();
    let asking = open(&address).await.expect("the peer answers");
    let waiting = open(&address).await.expect("the peer answers");
    elsewhere.vanish();
    let (asking, waiting) = tokio::join!(noticed(asking, true), noticed(waiting, false));
    for (which, after) in [("asking", asking), ("waiting", waiting)] {
        let after = after.unwrap_or_else(|| panic!("the {which} socket knows nothing after {BOUND:?}"));
        assert!(
            after > Duration::from_secs(5),
            "{which}: {after:?} is too soon for a slow line"
        );
    }
}
