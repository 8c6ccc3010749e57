//! Randomness as a pure function of (seed, name, time): no stream that a different path through time could disturb.

/// A named source of noise.
#[derive(Debug, Clone, Copy)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name, mixed with the seed.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Self(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    fn rng(self, key: i64) -> fastrand::Rng {
        let mut rng = fastrand::Rng::with_seed(self.0 ^ (key as u64).wrapping_mul(0xd134_2543_de82_ef95));
        // The first outputs of neighbouring seeds are alike; step past them.
        rng.u64(..);
        rng
    }
    /// Uniform 0..1 for a key.
    pub fn uniform(self, key: i64) -> f64 {
        self.rng(key).f64()
    }
    /// Normal with mean 0 and deviation 1 (Box–Muller), for a key.
    pub fn normal(self, key: i64) -> f64 {
        let mut rng = self.rng(key);
        let (u, v) = (1.0 - rng.f64(), rng.f64());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
    /// Smooth normal noise over time: knots every `scale_s`, cosine between them.
    pub fn smooth(self, at_s: f64, scale_s: f64) -> f64 {
        let x = at_s / scale_s;
        let knot = x.floor();
        let f = (1.0 - (std::f64::consts::PI * (x - knot)).cos()) / 2.0;
        let salted = Self(self.0 ^ scale_s.to_bits());
        salted.normal(knot as i64) * (1.0 - f) + salted.normal(knot as i64 + 1) * f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_a_function_of_seed_name_and_time() {
        let a = Noise::new(1, "weather");
        assert_eq!(a.smooth(1e6, 600.0), Noise::new(1, "weather").smooth(1e6, 600.0));
        assert_ne!(a.normal(3), Noise::new(2, "weather").normal(3));
        assert_ne!(a.normal(3), Noise::new(1, "load").normal(3));
        let mean = (0..4000).map(|k| a.normal(k)).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.06, "{mean}");
    }
}
