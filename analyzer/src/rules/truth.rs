//! Three-valued logic (Kleene's): what could not be read is neither true nor false.

/// A truth value. The order makes `and` the minimum and `or` the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not hold.
    False,
    /// Something that it needs is missing.
    Unknown,
    /// It holds.
    True,
}

impl Truth {
    /// All hold; of none, true.
    pub fn all(values: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Self::True;
        for value in values {
            out = out.min(value);
            if out == Self::False {
                break;
            }
        }
        out
    }

    /// One holds; of none, false.
    pub fn any(values: impl IntoIterator<Item = Self>) -> Self {
        let mut out = Self::False;
        for value in values {
            out = out.max(value);
            if out == Self::True {
                break;
            }
        }
        out
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}
