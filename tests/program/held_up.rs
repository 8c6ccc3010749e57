//! Nothing but the wire may hold up the loop: outputs that nobody reads, files that do not end, and the signal to end in each.

use crate::support::live::{controller, in_control, now, records, run_command, site, twin};
use crate::support::{Process, eventually, free_port, get};
use madang::cycle::Record;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

struct Bench {
    folder: tempfile::TempDir,
    site: PathBuf,
    port: u16,
    _devices: Process,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (site, port) = (site("home-amsterdam", folder.path()), free_port());
        let _devices = twin(&site, &[]);
        Self {
            folder,
            site,
            port,
            _devices,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Five seconds of cycles, one a second.
    fn goes_on(&self, name: &str) {
        let made = || {
            now(self.port).expect("it answers")["counts"]["cycles"]
                .as_i64()
                .unwrap()
        };
        let (first, begun) = (made(), Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let (more, due) = (made() - first, begun.elapsed().as_secs_f64());
        assert!(more as f64 >= due - 1.5, "{name}: {more} cycles in {due:.1} s");
    }

    /// Ends within five seconds of the signal, devices given back.
    fn ends(&self, mut running: Process, name: &str) {
        let asked = Instant::now();
        running.signal("-TERM");
        let status = running.wait(Duration::from_secs(5));
        assert!(
            status.is_some_and(|s| s.success()),
            "{name}: {status:?} after {:?}",
            asked.elapsed()
        );
        let last = records(&self.state());
        let released = |r: &Record| matches!(r, Record::Written { reports } if reports.iter().any(|w| w.command.starts_with("release")));
        assert!(
            last.iter().rev().take(8).any(released),
            "{name}: the devices were given back"
        );
    }
}

/// Both ends of a pipe that takes no byte more.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // Linux pipes hold 64 KiB (pipe(7)).
    writer.write_all(&[b' '; 65_536]).unwrap();
    (reader, writer)
}

/// The master of a terminal that nobody reads and its full line.
fn full_terminal() -> (OwnedFd, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let open = |flags| rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | flags, Mode::empty()).unwrap();
    let mut filling = File::from(open(OFlags::NONBLOCK));
    while filling.write(&[b' '; 256]).is_ok() {}
    (master, File::from(open(OFlags::empty())))
}

#[test]
fn a_terminal_or_a_pipe_that_nobody_reads_holds_up_neither_control_nor_its_end() {
    let (pipe_kept, pipe) = full_pipe();
    let (terminal_kept, terminal) = full_terminal();
    let outputs = [
        ("a full pipe", Stdio::from(pipe.try_clone().unwrap()), Stdio::from(pipe)),
        (
            "a terminal that stands",
            Stdio::from(terminal.try_clone().unwrap()),
            Stdio::from(terminal),
        ),
    ];
    for (name, out, err) in outputs {
        let bench = Bench::new();
        let mut command = run_command(&bench.site, &bench.state(), bench.port);
        let running = Process::start(command.env("MADANG_LOG", "debug").stdout(out).stderr(err));
        in_control(bench.port);
        bench.goes_on(name);
        bench.ends(running, name);
    }
    drop((pipe_kept, terminal_kept));
}

#[test]
fn a_closed_pipe_holds_up_nothing() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = run_command(&bench.site, &bench.state(), bench.port);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let running = Process::start(&mut command);
    in_control(bench.port);
    bench.goes_on("a closed pipe");
    bench.ends(running, "a closed pipe");
}

fn resident_kb(running: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn unreadable(port: u16, why: &str) {
    eventually(why, Duration::from_secs(15), || {
        let alarms = get(port, "/api/v1/alarms")?;
        (alarms.contains("prices_unreadable") && alarms.contains(why)).then_some(())
    });
}

#[test]
fn a_price_file_that_is_none_is_told_and_control_goes_on() {
    let bench = Bench::new();
    let prices = bench.site.join("prices.csv");
    let good = std::fs::read(&prices).unwrap();
    let running = controller(&bench.site, &bench.state(), bench.port);
    in_control(bench.port);
    let replace = |put: &dyn Fn(&Path)| {
        std::fs::remove_file(&prices).unwrap();
        put(&prices);
    };
    replace(&|path| File::create(path).unwrap().set_len(1 << 30).unwrap());
    unreadable(bench.port, "larger than 16 MiB");
    bench.goes_on("a file of 1 GB");
    assert!(resident_kb(&running) < 120_000, "{} kB", resident_kb(&running));
    replace(&|path| std::fs::write(path, &good).unwrap());
    eventually("good prices end the alarm", Duration::from_secs(15), || {
        (!get(bench.port, "/api/v1/alarms")?.contains("prices_unreadable")).then_some(())
    });
    replace(&|path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    });
    unreadable(bench.port, "not a regular file");
    bench.goes_on("a FIFO");
    bench.ends(running, "a FIFO");
}

#[test]
fn it_also_starts_and_ends_with_a_fifo_for_prices() {
    let bench = Bench::new();
    let prices = bench.site.join("prices.csv");
    std::fs::remove_file(&prices).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&prices)
            .status()
            .unwrap()
            .success()
    );
    let running = controller(&bench.site, &bench.state(), bench.port);
    unreadable(bench.port, "not a regular file");
    bench.goes_on("a FIFO from the start");
    bench.ends(running, "a FIFO from the start");
}
