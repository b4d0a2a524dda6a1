//! What was aimed at, and whether it was met.

use std::fmt;

/// What became of the aims so far.
#[derive(Debug, Default)]
pub struct Aims {
    met: usize,
    missed: Vec<String>,
}

impl Aims {
    /// Whether none is missed.
    pub fn all_met(&self) -> bool {
        self.missed.is_empty()
    }

    /// Says whether what was measured of `whom`, such as a ratio to bare, is within its bound.
    pub fn at_most(&mut self, whom: &str, what: &str, measured: f64, bound: f64) -> String {
        let aim = format!("{what} {measured:.3} is at most {bound}");
        let word = self.take(format!("{whom}: {aim}"), measured <= bound);
        format!("aim: {aim}: {word}")
    }

    /// Says, behind that, whether it is also below what another way costs.
    pub fn below(
        &mut self,
        whom: &str,
        what: &str,
        measured: f64,
        other: &str,
        cost: f64,
    ) -> String {
        let bound = format!("below {other}'s {cost:.3}");
        let aim = format!("{whom}: {what} {measured:.3} is {bound}");
        let word = self.take(aim, measured < cost);
        format!(", and {bound}: {word}")
    }

    /// What is no number is missed: the comparison does not hold then.
    fn take(&mut self, aim: String, met: bool) -> &'static str {
        if met {
            self.met += 1;
            "met"
        } else {
            self.missed.push(aim);
            "NOT MET"
        }
    }
}

/// How many are met, then each of the others.
impl fmt::Display for Aims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.met + self.missed.len();
        write!(f, "aims: {} of {all} met", self.met)?;
        for aim in &self.missed {
            write!(f, "\n    NOT MET: {aim}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_named() {
        let mut aims = Aims::default();
        assert_eq!(
            aims.at_most("a loop", "wall", 1.3, 1.3),
            "aim: wall 1.300 is at most 1.3: met"
        );
        assert!(aims.all_met());
        assert_eq!(aims.to_string(), "aims: 1 of 1 met");
        assert_eq!(
            aims.at_most("pip install", "CPU", 1.0304, 1.03),
            "aim: CPU 1.030 is at most 1.03: NOT MET"
        );
        assert_eq!(
            aims.below("pip install", "CPU", 1.0304, "strace", 2.5),
            ", and below strace's 2.500: met"
        );
        assert_eq!(
            aims.below("a loop", "CPU", 1.2, "strace", 1.2),
            ", and below strace's 1.200: NOT MET"
        );
        assert!(!aims.all_met());
        assert_eq!(
            aims.to_string(),
            "aims: 2 of 4 met\n    \
             NOT MET: pip install: CPU 1.030 is at most 1.03\n    \
             NOT MET: a loop: CPU 1.200 is below strace's 1.200"
        );
    }

    #[test]
    fn what_is_no_number_is_missed() {
        let mut aims = Aims::default();
        aims.at_most("a loop", "wall", f64::NAN, 1.3);
        aims.below("a loop", "wall", 1.1, "strace", f64::NAN);
        assert_eq!((aims.met, aims.missed.len()), (0, 2));
    }
}
