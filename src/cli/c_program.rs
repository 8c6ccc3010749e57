//! Small helpers in C that benchmarks measure against, compiled at bench time where the machine has a compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Compiles `text` into a program in `folder`; `None` where the machine has no compiler or no such library.
pub fn compile(folder: &Path, name: &str, text: &str, flags: &[&str]) -> Option<PathBuf> {
    let (source, program) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&source, text).ok()?;
    let mut cc = Command::new("cc");
    cc.arg("-O2").arg("-o").arg(&program).arg(&source).args(flags);
    let done = cc.stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|s| s.success()).then_some(program)
}

/// Runs a program to its end and gives the `N` numbers it prints.
pub fn numbers<const N: usize>(program: &Path, args: &[String]) -> Result<[f64; N], String> {
    let out = Command::new(program).args(args).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let failed = |_| format!("{} failed", program.display());
    numbers.try_into().map_err(failed)
}
