//! Moments, and how the dialects write them.

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::config::Dialect;

/// A moment of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Whole seconds since the Unix epoch.
    pub second: u64,
    /// Microseconds of that second.
    pub micros: u32,
}

impl Moment {
    /// Of so many microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self {
            second: micros / 1_000_000,
            micros: (micros % 1_000_000) as u32,
        }
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn total_micros(self) -> u64 {
        self.second * 1_000_000 + u64::from(self.micros)
    }
}

impl From<(u64, u32)> for Moment {
    /// Of what [`clock::wall`](crate::clock::wall) says.
    fn from((second, micros): (u64, u32)) -> Self {
        Self { second, micros }
    }
}

/// The wall-clock time as both dialects write it. The text is made once per second; a loop sets
/// it once per turn and lends it to every event of that turn.
#[derive(Clone, Debug)]
pub struct Stamp {
    second: u64,
    micros: u32,
    /// `2024-01-01T12:00:00Z`
    guide: [u8; 20],
    /// `2024-01-01 12:00:00.000000+00:00`, or without the fraction; `django_bytes` of it count.
    django: [u8; 32],
    django_bytes: usize,
}

impl Stamp {
    /// 9999-12-30 22:00:00, the last moment jiff knows; later ones have no four-digit year.
    const SECOND_MAX: u64 = 253_402_207_200;

    /// A stamp of `second` since the Unix epoch and the `micros` of that second.
    #[must_use]
    pub fn new(second: u64, micros: u32) -> Self {
        let mut stamp = Self {
            second: u64::MAX,
            micros: 0,
            guide: *b"0000-00-00T00:00:00Z",
            django: *b"0000-00-00 00:00:00.000000+00:00",
            django_bytes: 32,
        };
        stamp.set(second, micros);
        stamp
    }

    /// The moment that it says.
    #[must_use]
    pub const fn moment(&self) -> Moment {
        Moment {
            second: self.second,
            micros: self.micros,
        }
    }

    /// Moves to another moment. Cheap within one second, and next to nothing if it is the same.
    pub fn set(&mut self, second: u64, micros: u32) {
        let second = second.min(Self::SECOND_MAX);
        let micros = micros.min(999_999);
        if second != self.second {
            self.set_second(second);
        } else if micros == self.micros {
            return;
        }
        self.micros = micros;
        // Python leaves the fraction out when it is zero.
        let (head, tail) = self.django.split_at_mut(19);
        debug_assert_eq!((head.len(), tail.len()), (19, 13));
        if micros == 0 {
            tail.copy_from_slice(b"+00:00       ");
            self.django_bytes = 25;
        } else {
            tail.copy_from_slice(b".000000+00:00");
            if let Some(digits) = tail.get_mut(1..7) {
                put_decimal(digits, micros);
            }
            self.django_bytes = 32;
        }
    }

    fn set_second(&mut self, second: u64) {
        self.second = second;
        let moment = i64::try_from(second)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .unwrap_or_default();
        let civil = Offset::UTC.to_datetime(moment);
        let mut text = *b"0000-00-00T00:00:00";
        let fields = [
            (0..4, i64::from(civil.year())),
            (5..7, i64::from(civil.month())),
            (8..10, i64::from(civil.day())),
            (11..13, i64::from(civil.hour())),
            (14..16, i64::from(civil.minute())),
            (17..19, i64::from(civil.second())),
        ];
        for (range, value) in fields {
            if let Some(digits) = text.get_mut(range) {
                put_decimal(digits, u32::try_from(value).unwrap_or_default());
            }
        }
        for (target, byte) in self.guide.iter_mut().zip(text) {
            *target = byte;
        }
        for (target, byte) in self.django.iter_mut().zip(text) {
            *target = if byte == b'T' { b' ' } else { byte };
        }
    }

    /// The stamp as `dialect` writes it.
    #[must_use]
    pub fn text(&self, dialect: Dialect) -> &[u8] {
        match dialect {
            Dialect::Guide => &self.guide,
            Dialect::Django => self.django.get(..self.django_bytes).unwrap_or(&self.django),
        }
    }
}

/// Right-aligned decimal digits with leading zeros.
fn put_decimal(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}
