//! How long a provider asks to wait. Pure.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A longer wait that a provider asks for is cut to this.
const LONGEST: Duration = Duration::from_mins(10);

/// `retry-after-ms`, which OpenAI and Azure send, else `retry-after` (RFC 9110 section 10.2.3): a number of seconds,
/// or a date. The date is compared with the header `date`, because the clocks of two machines differ.
pub(super) fn delay_in_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
    let milliseconds = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms"));
    let seconds = milliseconds
        .map(|milliseconds| milliseconds / 1_000.0)
        .or_else(|| number("retry-after"));
    if let Some(seconds) = seconds {
        return bounded(seconds);
    }
    let until = date("retry-after")?;
    let now = date("date").unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// Google's `retryDelay` among the details of an error (`google.rpc.RetryInfo`), in seconds: `"17.5s"`.
pub(super) fn delay_in_body(body: &Value) -> Option<Duration> {
    let body = body.get(0).unwrap_or(body);
    let details = body["error"]["details"].as_array()?;
    let delay = details.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    bounded(delay.strip_suffix('s')?.parse().ok()?)
}

/// A number below zero is no wait.
fn bounded(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delay(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 12:00:00 GMT").unwrap();
        delay_in_headers(&headers, now)
    }

    #[test]
    fn a_wait_is_read_in_every_form() {
        for (headers, expected) in [
            (vec![("retry-after", "7")], Some(7_000)),
            (vec![("retry-after", " 1.5 ")], Some(1_500)),
            (vec![("retry-after-ms", "250"), ("retry-after", "7")], Some(250)),
            (vec![("x-ms-retry-after-ms", "30")], Some(30)),
            (vec![("retry-after", "Fri, 27 Nov 2026 12:00:30 GMT")], Some(30_000)),
            (vec![("retry-after", "Friday, 27-Nov-26 12:00:30 GMT")], Some(30_000)),
            (vec![("retry-after", "Fri Nov 27 12:00:30 2026")], Some(30_000)),
            // The provider's clock is an hour ahead.
            (
                vec![
                    ("date", "Fri, 27 Nov 2026 13:00:00 GMT"),
                    ("retry-after", "Fri, 27 Nov 2026 13:00:05 GMT"),
                ],
                Some(5_000),
            ),
            (vec![("retry-after", "Fri, 27 Nov 2026 11:00:00 GMT")], Some(0)),
            (vec![("retry-after", "86400")], Some(600_000)),
            (vec![("retry-after", "1e300")], Some(600_000)),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(delay(&headers), expected.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn google_says_it_in_the_body() {
        let error = json!({"error": {"code": 429, "details": [{"@type": "quota"}, {"retryDelay": "17.5s"}]}});
        let expected = Some(Duration::from_millis(17_500));
        assert_eq!(delay_in_body(&error), expected);
        assert_eq!(delay_in_body(&json!([error])), expected);
        assert_eq!(delay_in_body(&json!({"error": {}})), None);
    }
}
