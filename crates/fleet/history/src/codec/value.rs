//! JSON values as bytes: a tag, then the content. A 2 KB Inventory takes about 700 bytes.

use serde_json::{Map, Number, Value};

use super::{Malformed, Reading, Words, put_bytes, put_number, put_word};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NATURAL: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const OBJECT: u8 = 8;
/// Deeper values are refused by every API server.
const DEPTH_MAX: u32 = 256;

pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value, words: &mut Words) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => put_json_number(out, number),
        Value::String(text) => {
            out.push(TEXT);
            put_bytes(out, text.as_bytes());
        }
        Value::Array(list) => {
            out.push(LIST);
            put_number(out, list.len() as u64);
            for each in list {
                put_value(out, each, words);
            }
        }
        Value::Object(map) => {
            out.push(OBJECT);
            put_number(out, map.len() as u64);
            for (key, each) in map {
                put_word(out, key, words);
                put_value(out, each, words);
            }
        }
    }
}

fn put_json_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(natural) = number.as_u64() {
        out.push(NATURAL);
        put_number(out, natural);
    } else if let Some(negative) = number.as_i64() {
        out.push(NEGATIVE);
        put_number(out, negative.unsigned_abs());
    } else {
        out.push(FLOAT);
        out.extend_from_slice(&number.as_f64().unwrap_or(0.0).to_le_bytes());
    }
}

pub(crate) fn read_value(reading: &mut Reading<'_>) -> Result<Value, Malformed> {
    read(reading, DEPTH_MAX)
}

fn read(reading: &mut Reading<'_>, depth: u32) -> Result<Value, Malformed> {
    let deeper = depth.checked_sub(1).ok_or(Malformed("a value is deeper than any can be"))?;
    Ok(match reading.bytes.byte()? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        NATURAL => Value::from(reading.bytes.number()?),
        NEGATIVE => Value::from(0i64.wrapping_sub_unsigned(reading.bytes.number()?)),
        FLOAT => {
            Number::from_f64(f64::from_le_bytes(reading.bytes.array()?)).map_or(Value::Null, Value::Number)
        }
        TEXT => Value::from(reading.bytes.text()?),
        LIST => {
            let count = reading.bytes.count()?;
            (0..count).map(|_| read(reading, deeper)).collect::<Result<Vec<_>, _>>()?.into()
        }
        OBJECT => {
            let count = reading.bytes.count()?;
            let mut map = Map::new();
            for _ in 0..count {
                let key = reading.word()?;
                map.insert(key.to_string(), read(reading, deeper)?);
            }
            Value::Object(map)
        }
        _ => return Err(Malformed("a value of no known type")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_comes_back_and_a_key_stands_once() {
        let value = json!({"a": [null, true, false, 0, 7, -3, u64::MAX, i64::MIN, 1.5, "x"], "b": {"a": {}, "b": []}});
        let mut words = Words::default();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        put_value(&mut first, &value, &mut words);
        put_value(&mut second, &value, &mut words);
        assert!(second.len() < first.len());
        let mut known = Words::default();
        let mut reading = Reading::new(&first, &known);
        assert_eq!(read_value(&mut reading), Ok(value.clone()));
        let new = reading.new_words();
        known.learn_all(new);
        assert_eq!(read_value(&mut Reading::new(&second, &known)), Ok(value.clone()));
        assert_eq!(read_value(&mut Reading::new(&first, &words)), Ok(value), "also out of order");
    }
}
