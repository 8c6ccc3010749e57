//! Many random problems: `random-run [COUNT] [FIRST_SEED]`, or `random-run seed SEED` for one again. Every seed is tried against every property in turn; a panic
//! counts as a failure. Prints each failing seed; exit 1 if there was one.

use solver_tests::properties::PROPERTIES;
use std::process::ExitCode;

fn main() -> ExitCode {
    let number = |n: usize, default: u64| std::env::args().nth(n).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (count, first) = (number(1, 20_000), number(2, 1));
    if std::env::args().nth(1).is_some_and(|a| a == "seed") {
        PROPERTIES
            .iter()
            .for_each(|(name, holds)| println!("{name}: {:?}", holds(first)));
        return ExitCode::SUCCESS;
    }
    std::panic::set_hook(Box::new(|_| ()));
    let begun = std::time::Instant::now();
    let mut failed = 0u64;
    for n in 0..count {
        // one property a seed, so that `count` is the number of problems
        let (name, holds) = PROPERTIES[(n % PROPERTIES.len() as u64) as usize];
        let seed = first.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let outcome = std::panic::catch_unwind(|| holds(seed)).unwrap_or_else(|_| Err("panicked".into()));
        if let Err(why) = outcome {
            failed += 1;
            println!("{seed} {name}: {why}");
        }
        if (n + 1) % 20_000 == 0 {
            eprintln!(
                "{} problems, {failed} failed, {:.0} s",
                n + 1,
                begun.elapsed().as_secs_f64()
            );
        }
    }
    println!(
        "{count} problems, {failed} failed, {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(failed > 0))
}
