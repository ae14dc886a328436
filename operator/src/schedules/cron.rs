//! Cron expressions as crontab users mean them, in the form that Temporal takes.
//! Temporal reads some of them in another way, without an error: a `#` begins a comment,
//! a day of the month and a day of the week must both match, and a sixth field is the
//! year (temporal/api/schedule/v1/message.proto, `ScheduleSpec.cron_string`). Pure.

use std::{collections::BTreeSet, ops::RangeInclusive};

const SHORTHANDS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
/// Days of each month, in a leap year.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// One field of an expression.
struct Field {
    name: &'static str,
    values: RangeInclusive<u32>,
    names: &'static [&'static str],
    /// The value of the first name.
    first_name: u32,
}

const SECOND: Field = Field::numbers("second", 0..=59);
const MINUTE: Field = Field::numbers("minute", 0..=59);
const HOUR: Field = Field::numbers("hour", 0..=23);
const DAY_OF_MONTH: Field = Field::numbers("day of the month", 1..=31);
const MONTH: Field = Field {
    name: "month",
    values: 1..=12,
    names: &MONTHS,
    first_name: 1,
};
/// 7 is Sunday too.
const DAY_OF_WEEK: Field = Field {
    name: "day of the week",
    values: 0..=7,
    names: &WEEKDAYS,
    first_name: 0,
};
/// The years that Temporal knows.
const YEAR: Field = Field::numbers("year", 2000..=2100);

/// The cron strings whose times together are those of the expression; or why it cannot run as it is meant.
pub(crate) fn translate(cron: &str) -> Result<Vec<String>, String> {
    let cron = cron.trim();
    if cron.is_empty() {
        return Err("is empty".to_owned());
    }
    if cron.starts_with("TZ=") || cron.starts_with("CRON_TZ=") {
        return Err("has a time zone; write it in timeZone".to_owned());
    }
    if cron.starts_with('@') {
        return shorthand(cron).map(|cron| vec![cron]);
    }
    let fields: Vec<&str> = cron.split_whitespace().collect();
    if fields.iter().any(|field| field.starts_with('#')) {
        return Err("has a comment; Temporal ignores all after #".to_owned());
    }
    match *fields.as_slice() {
        [minute, hour, day, month, weekday] => Expression::read([minute, hour, day, month, weekday], None, None),
        [minute, hour, day, month, weekday, year] if is_year(year) => {
            Expression::read([minute, hour, day, month, weekday], None, Some(year))
        }
        [_, _, _, _, _, _] => Err(
            "has six fields; write five (minute, hour, day of the month, month, day of the week), without seconds. A \
             sixth field is a year, such as 2030"
                .to_owned(),
        ),
        [second, minute, hour, day, month, weekday, year] => {
            Expression::read([minute, hour, day, month, weekday], Some(second), Some(year))
        }
        _ => Err("has neither 5 to 7 fields nor the form @daily".to_owned()),
    }
    .map(|expression| expression.strings())
}

fn is_year(field: &str) -> bool {
    let is_number = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    field.split([',', '-', '/']).next().is_some_and(is_number)
}

fn shorthand(cron: &str) -> Result<String, String> {
    let lower = cron.to_ascii_lowercase();
    if SHORTHANDS.contains(&lower.as_str()) {
        return Ok(lower);
    }
    if let Some(interval) = lower.strip_prefix("@every ") {
        let (every, phase) = interval.trim().split_once('/').unwrap_or((interval.trim(), "0s"));
        if is_duration(every) && every.bytes().any(|byte| matches!(byte, b'1'..=b'9')) && is_duration(phase) {
            return Ok(format!("@every {}", interval.trim()));
        }
        return Err("has no interval such as @every 90m or @every 1h30m".to_owned());
    }
    Err(format!(
        "{cron:?} does not exist; there are {} and @every",
        SHORTHANDS.join(", ")
    ))
}

/// Numbers, each with a unit: `90m`, `1h30m`, `2d`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        if unit.len() == rest.len() || !unit.starts_with(['s', 'm', 'h', 'd']) {
            return false;
        }
        rest = &unit[1..];
    }
    !text.is_empty()
}

impl Field {
    const fn numbers(name: &'static str, values: RangeInclusive<u32>) -> Self {
        Self {
            name,
            values,
            names: &[],
            first_name: 0,
        }
    }

    /// The values that a field names, and its text for Temporal.
    fn read(&self, text: &str) -> Result<(BTreeSet<u32>, String), String> {
        let mut values = BTreeSet::new();
        let mut parts = Vec::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(self.step(step)?)),
                None => (part, None),
            };
            let (first, last, range) = self.range(range, step.is_some())?;
            values.extend((first..=last).step_by(step.unwrap_or(1)));
            parts.push(match step {
                Some(step) => format!("{range}/{step}"),
                None => range,
            });
        }
        Ok((values, parts.join(",")))
    }

    fn range(&self, text: &str, has_step: bool) -> Result<(u32, u32, String), String> {
        let (minimum, maximum) = (*self.values.start(), *self.values.end());
        if text == "*" {
            return Ok((minimum, maximum, text.to_owned()));
        }
        let Some((first, last)) = text.split_once('-') else {
            let value = self.value(text)?;
            return Ok((value, if has_step { maximum } else { value }, text.to_owned()));
        };
        let first_value = self.value(first)?;
        let mut last_value = self.value(last)?;
        let mut range = text.to_owned();
        if self.is_weekday() && last_value == 0 && first_value > 0 {
            // Sunday is also the last day of a week.
            last_value = 7;
            range = format!("{first_value}-{last_value}");
        }
        if first_value > last_value {
            return Err(format!(
                "has the {} {text:?}, which ends before it begins; write two ranges",
                self.name
            ));
        }
        Ok((first_value, last_value, range))
    }

    fn is_weekday(&self) -> bool {
        self.first_name == 0 && !self.names.is_empty()
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        let index = self.names.iter().position(|name| *name == lower || name[..3] == lower);
        let of_name = index
            .and_then(|index| u32::try_from(index).ok())
            .map(|index| index + self.first_name);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = of_name.or_else(|| is_number.then(|| text.parse().ok()).flatten());
        value.filter(|value| self.values.contains(value)).ok_or_else(|| {
            let alternative = if self.names.is_empty() {
                ""
            } else {
                " or a name such as "
            };
            let example = self.names.get(1).map(|name| name[..3].to_ascii_uppercase());
            format!(
                "has the {} {text:?}; it is a number from {} to {}{alternative}{}",
                self.name,
                self.values.start(),
                self.values.end(),
                example.unwrap_or_default(),
            )
        })
    }

    fn step(&self, text: &str) -> Result<usize, String> {
        let span = self.values.end() - self.values.start();
        let step = text.parse::<u32>().ok().filter(|step| (1..=span).contains(step));
        step.and_then(|step| usize::try_from(step).ok()).ok_or_else(|| {
            format!(
                "has the step {text:?} in the {}; it is a number from 1 to {span}. For an interval write @every 90m",
                self.name
            )
        })
    }
}

/// An expression whose fields are right.
struct Expression {
    second: Option<String>,
    minute: String,
    hour: String,
    month: String,
    year: Option<String>,
    /// Days of the month with days of the week, each of which must match.
    days: Vec<(String, String)>,
}

impl Expression {
    fn read(fields: [&str; 5], second: Option<&str>, year: Option<&str>) -> Result<Self, String> {
        let [minute, hour, day, month, weekday] = fields;
        let (months, month) = MONTH.read(month)?;
        let expression = Self {
            second: second
                .map(|field| SECOND.read(field))
                .transpose()?
                .map(|(_, text)| text),
            minute: MINUTE.read(minute)?.1,
            hour: HOUR.read(hour)?.1,
            month,
            year: year.map(|field| YEAR.read(field)).transpose()?.map(|(_, text)| text),
            days: days(day, weekday, &months)?,
        };
        Ok(expression)
    }

    fn strings(&self) -> Vec<String> {
        let strings = self.days.iter().map(|(day, weekday)| {
            let fields = [
                self.second.as_deref(),
                Some(&self.minute),
                Some(&self.hour),
                Some(day),
                Some(&self.month),
                Some(weekday),
                self.year.as_deref(),
            ];
            fields.into_iter().flatten().collect::<Vec<&str>>().join(" ")
        });
        strings.collect()
    }
}

/// The days on which an expression runs.
fn days(day: &str, weekday: &str, months: &BTreeSet<u32>) -> Result<Vec<(String, String)>, String> {
    let day = if day == "?" { "*" } else { day };
    let weekday = if weekday == "?" { "*" } else { weekday };
    let any = || "*".to_owned();
    let (of_month, day_text) = DAY_OF_MONTH.read(day)?;
    if !weekday.contains('#') {
        let (_, weekday_text) = DAY_OF_WEEK.read(weekday)?;
        // crontab(5): with a star at the start of one field, both must match; otherwise one of them.
        if day.starts_with('*') || weekday.starts_with('*') {
            check_date(&of_month, months)?;
            return Ok(vec![(day_text, weekday_text)]);
        }
        return Ok(vec![(day_text, any()), (any(), weekday_text)]);
    }
    if day != "*" {
        return Err("has a day of the month beside a weekday with #; write two schedules".to_owned());
    }
    let mut days = Vec::new();
    let mut every_week = Vec::new();
    for part in weekday.split(',') {
        match part.split_once('#') {
            Some((name, number)) => {
                let weekday = DAY_OF_WEEK.value(name)?;
                let week = number.parse::<u32>().ok().filter(|week| (1..=5).contains(week));
                let week = week.ok_or_else(|| format!("has {part:?}; the number after # is 1 to 5"))?;
                let first = (week - 1) * 7 + 1;
                days.push((format!("{first}-{}", (first + 6).min(31)), weekday.to_string()));
            }
            None => every_week.push(part),
        }
    }
    if !every_week.is_empty() {
        days.push((any(), DAY_OF_WEEK.read(&every_week.join(","))?.1));
    }
    Ok(days)
}

/// Refuses a date that no year has.
fn check_date(days: &BTreeSet<u32>, months: &BTreeSet<u32>) -> Result<(), String> {
    let first = days.first().copied().unwrap_or(1);
    let last_of = |month: &u32| {
        usize::try_from(*month)
            .ok()
            .and_then(|month| DAYS.get(month - 1))
            .copied()
    };
    if months.iter().filter_map(last_of).any(|last| first <= last) {
        return Ok(());
    }
    Err("names a date that does not exist".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(cron: &str) -> Vec<String> {
        translate(cron).unwrap_or_else(|error| panic!("{cron}: {error}"))
    }

    #[test]
    fn what_temporal_reads_as_crontab_does_stays_as_it_is() {
        for cron in [
            "0 9 * * MON",
            "*/15 8-18 * * *",
            "5/10 0 1,15 JAN *",
            "0 9 */2 * FRI",
            "0 9 29 2 *",
            "0 9 * * * 2030",
            "30 0 9 * * 1 2030,2031",
            "* * * * * * *",
            "0 9 * jan-MAR,dec mon,WED",
            "0 9 * * 7",
            "0 9 * * 0-7",
            "0 0-23/2 * * 1-5",
            "@daily",
            "@every 1h30m/10m",
            "@every 2d",
        ] {
            assert_eq!(strings(cron), [cron]);
        }
        assert_eq!(strings(" 0\t9  * * mon-Friday "), ["0 9 * * mon-Friday"]);
        assert_eq!(strings("@Midnight"), ["@midnight"]);
    }

    #[test]
    fn a_day_of_the_month_and_a_day_of_the_week_are_alternatives() {
        assert_eq!(strings("0 9 13 * FRI"), ["0 9 13 * *", "0 9 * * FRI"]);
        assert_eq!(strings("0 9 1-7 1,7 1"), ["0 9 1-7 1,7 *", "0 9 * 1,7 1"]);
        assert_eq!(strings("0 9 13 * ?"), ["0 9 13 * *"]);
        assert_eq!(strings("0 9 ? * FRI"), ["0 9 * * FRI"]);
    }

    #[test]
    fn a_weekday_with_a_number_is_that_one_of_the_month() {
        assert_eq!(strings("0 9 * * MON#1"), ["0 9 1-7 * 1"]);
        assert_eq!(strings("0 9 ? * 5#5"), ["0 9 29-31 * 5"]);
        assert_eq!(
            strings("0 9 * 6 TUE#2,thu#4,SAT"),
            ["0 9 8-14 6 2", "0 9 22-28 6 4", "0 9 * 6 SAT"]
        );
    }

    #[test]
    fn a_range_may_end_with_sunday() {
        assert_eq!(strings("0 9 * * FRI-SUN"), ["0 9 * * 5-7"]);
        assert_eq!(strings("0 9 * * SUN-TUE"), ["0 9 * * SUN-TUE"]);
        assert_eq!(strings("0 9 * * 6-0"), ["0 9 * * 6-7"]);
    }

    #[test]
    fn what_cannot_run_as_it_is_meant_is_refused() {
        for (cron, reason) in [
            ("", "is empty"),
            ("* *", "has neither 5 to 7 fields nor the form @daily"),
            ("0 0 9 * * MON", "has six fields"),
            ("0 9 * * * *", "has six fields"),
            ("0 9 * * MON # weekly", "has a comment"),
            ("0 9 # * *", "has a comment"),
            ("CRON_TZ=Europe/Berlin 0 9 * * *", "write it in timeZone"),
            ("0 9 13 * MON#1", "has a day of the month beside a weekday with #"),
            ("0 9 * * MON#6", "the number after # is 1 to 5"),
            ("0 9 * * MON#", "the number after # is 1 to 5"),
            (
                "0 9 L * *",
                "has the day of the month \"L\"; it is a number from 1 to 31",
            ),
            ("0 9 15W * *", "has the day of the month \"15W\""),
            (
                "0 9 * * 5L",
                "has the day of the week \"5L\"; it is a number from 0 to 7 or a name such as MON",
            ),
            ("0 9 LW * *", "has the day of the month \"LW\""),
            ("0 9 L-3 * *", "has the day of the month \"L\""),
            ("0 9 * * MONL", "has the day of the week \"MONL\""),
            ("0 9 * * 1-5#2", "has the day of the week \"1-5\""),
            ("0 9 * * FRI-MON", "ends before it begins"),
            ("0 22-2 * * *", "has the hour \"22-2\", which ends before it begins"),
            ("0 9 * NOV-FEB *", "ends before it begins"),
            ("0 9 * * MONDAYS", "has the day of the week \"MONDAYS\""),
            ("0 9 * SEPT *", "has the month \"SEPT\""),
            ("-1 9 * * *", "has the minute \"\""),
            ("0.5 9 * * *", "has the minute \"0.5\""),
            ("TZ=UTC 0 9 * * *", "write it in timeZone"),
            ("0 9 * * * 1999", "has the year \"1999\""),
            ("1 2 3 4 5 6 7 8", "has neither 5 to 7 fields"),
            ("@daily 9", "does not exist"),
            ("@every 90", "has no interval"),
            ("60 9 * * *", "has the minute \"60\"; it is a number from 0 to 59"),
            ("0 24 * * *", "has the hour"),
            ("0 9 0 * *", "has the day of the month"),
            (
                "0 9 * 13 *",
                "has the month \"13\"; it is a number from 1 to 12 or a name such as FEB",
            ),
            ("0 9 31 2 *", "names a date that does not exist"),
            ("0 9 31 4,6 *", "names a date that does not exist"),
            ("*/90 * * * *", "has the step \"90\" in the minute"),
            ("*/0 * * * *", "has the step \"0\""),
            ("1,,2 9 * * *", "has the minute \"\""),
            ("H 9 * * *", "has the minute \"H\""),
            ("@reboot", "\"@reboot\" does not exist; there are @yearly"),
            ("@every", "does not exist"),
            ("@every 0s", "has no interval"),
            ("@every soon", "has no interval"),
        ] {
            let error = translate(cron).expect_err(cron);
            assert!(error.contains(reason), "{cron}: {error}");
        }
    }
}
