use super::*;

#[test]
fn quantities_become_canonical_within_their_family() {
    for (text, expected) in [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1000", "1k"),
        ("100000", "100k"),
        ("1024", "1024"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("0.1Ki", "102400m"),
        ("1e3", "1e3"),
        ("1500e0", "1500"),
        ("-2Gi", "-2Gi"),
        ("0", "0"),
        ("0Gi", "0"),
        (".5", "500m"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("+3", "3"),
        ("99999999999999999999", "9223372036854775807"),
    ] {
        assert_eq!(canonical_quantity(text).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "Gi", "1x", "1 Gi", "--1", "1.2.3", ".", "1e", "1ee3"] {
        assert_eq!(canonical_quantity(text), None, "{text}");
    }
}

#[test]
fn durations_are_read_and_written_as_go_does() {
    for (text, expected) in [
        ("72h", "72h0m0s"),
        ("1h30m", "1h30m0s"),
        ("1.5s", "1.5s"),
        ("90s", "1m30s"),
        ("0", "0s"),
        ("-3ms", "-3ms"),
    ] {
        assert_eq!(parse_duration(text).map(format_duration).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "3", "h", "1.2.3s", "1y", "-"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn times_become_utc_with_the_digits_of_their_type() {
    let read = |format, text: &str| read(Scalar::String(format), Width::Int64, text.into());
    let time = read(Format::Time, "2026-11-23T08:00:00.75+02:00").unwrap();
    assert_eq!(time, "2026-11-23T06:00:00Z");
    let micro = read(Format::MicroTime, "2026-11-23T08:00:00.75+02:00").unwrap();
    assert_eq!(micro, "2026-11-23T06:00:00.750000Z");
    assert!(matches!(read(Format::Time, "yesterday"), Err(Wrong::Text(_))));
    assert_eq!(format_time(-62_135_596_800_000_000_000, Fraction::None), "0001-01-01T00:00:00Z");
}

#[test]
fn integers_must_fit_and_be_whole() {
    let read = |width, value: Value| read(Scalar::Integer, width, value);
    assert!(read(Width::Int32, 2_147_483_647.into()).is_ok());
    assert!(
        matches!(read(Width::Int32, 2_147_483_648_i64.into()), Err(Wrong::Type(found)) if found == "number 2147483648")
    );
    assert!(read(Width::Int64, 2_147_483_648_i64.into()).is_ok());
    assert!(matches!(read(Width::Int64, 1.5.into()), Err(Wrong::Type(found)) if found == "number 1.5"));
    assert!(matches!(read(Width::Int64, "1".into()), Err(Wrong::Type(found)) if found == "string"));
}
