//! Which failures pass, and how long to wait for that.

use rand::Rng;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The first wait; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for; who asks for more is not worth waiting for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why an attempt gave no reply, in words for an error.
#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    /// Another attempt may succeed, after `wait` if the server named a time.
    Passing { what: String, wait: Option<Duration> },
    /// Another attempt would fail too.
    Final(String),
}

/// The time before attempt `attempts + 1`.
pub(crate) fn backoff(attempts: usize, rng: &mut impl Rng) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << (attempts - 1).min(16));
    doubled.min(LONGEST_WAIT).mul_f64(rng.random_range(0.5..1.0))
}

/// The wait that a `Retry-After` header asks for, if in seconds; its other form, a date, is not read.
pub(crate) fn retry_after(header: Option<&str>) -> Option<Duration> {
    Duration::try_from_secs_f64(header?.trim().parse().ok()?).ok()
}

/// The failure that a status other than success is.
pub(crate) fn of_status(status: u16, reason: Option<&str>, said: &str, wait: Option<Duration>) -> Failure {
    let mut what = format!("{status} {}: {said}", reason.unwrap_or("without a reason"));
    if !(matches!(status, 408 | 425 | 429) || status >= 500) {
        if status == 404 {
            what +=
                "; is the endpoint the base URL, often with /v1 at its end, and is the model's name right?";
        }
        return Failure::Final(what);
    }
    match wait {
        Some(wait) if wait > PATIENCE => {
            Failure::Final(format!("{what}; it asks to wait {} s: come back then", wait.as_secs()))
        }
        _ => Failure::Passing { what, wait },
    }
}

/// The failure that no whole reply is.
pub(crate) fn of_transport(error: &ureq::Error) -> Failure {
    use ureq::Error;
    let passing = |what: String| Failure::Passing { what, wait: None };
    match error {
        Error::Timeout(_) => passing("no reply in time; a longer --timeout may help".to_owned()),
        // A certificate that is not trusted, above all.
        Error::Io(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput) => {
            Failure::Final(e.to_string())
        }
        Error::Io(e) => passing(format!("{e}; is the server running?")),
        Error::HostNotFound => passing("no such host; is the address right?".to_owned()),
        Error::ConnectionFailed | Error::Protocol(_) | Error::BodyStalled => {
            passing(format!("the connection failed ({error})"))
        }
        _ => Failure::Final(error.to_string()),
    }
}

/// Sleeps, but no longer than until `stop`.
pub(crate) fn sleep(time: Duration, stop: &AtomicBool) {
    let started = Instant::now();
    while let Some(left) = time.checked_sub(started.elapsed())
        && !left.is_zero()
        && !stop.load(Ordering::Relaxed)
    {
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn waits_double_up_to_a_bound_and_lose_at_most_half_to_the_jitter() {
        let rng = &mut seed::rng(1, "test");
        for (attempts, full) in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (1000, 30.0)] {
            let wait = backoff(attempts, rng).as_secs_f64();
            assert!((0.5 * full..full).contains(&wait), "{attempts}: {wait}");
        }
        assert_eq!(backoff(3, &mut seed::rng(1, "a")), backoff(3, &mut seed::rng(1, "a")));
    }

    #[test]
    fn a_server_may_name_the_wait_within_reason() {
        assert_eq!(retry_after(Some(" 2 ")), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(Some("0")), Some(Duration::ZERO));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
        assert_eq!(retry_after(Some("-1")), None);
        let of = |status, seconds| of_status(status, None, "x", Some(Duration::from_secs(seconds)));
        assert!(matches!(of(429, 2), Failure::Passing { wait: Some(wait), .. } if wait.as_secs() == 2));
        assert!(matches!(of(429, 3600), Failure::Final(what) if what.contains("3600 s")));
    }

    #[test]
    fn busy_servers_are_asked_again_and_clear_refusals_are_not() {
        let passes = |status| matches!(of_status(status, None, "x", None), Failure::Passing { .. });
        assert!([408, 425, 429, 500, 502, 503, 504, 529].into_iter().all(passes));
        assert!(![301, 400, 401, 403, 404, 413, 422].into_iter().any(passes));
    }
}
