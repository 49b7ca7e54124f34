//! Every tag of compat.md 1.2, bounds, and the meaning of values.

use super::*;
use crate::limits::TABLE_DEPTH_MAX;
use crate::name::Name;

/// One entry of every tag: key, bytes after the key, value.
fn every_tag() -> Vec<(&'static str, Vec<u8>, Value)> {
    let inner: Table = [("k", Value::Bool(true))].into_iter().collect();
    vec![
        ("t", b"t\x01".to_vec(), Value::Bool(true)),
        ("b", b"b\xFF".to_vec(), Value::I8(-1)),
        ("B", b"B\xFF".to_vec(), Value::U8(255)),
        ("s", b"s\xFF\xFE".to_vec(), Value::I16(-2)),
        ("u", b"u\xFF\xFE".to_vec(), Value::U16(65534)),
        ("I", b"I\xFF\xFF\xFF\xFD".to_vec(), Value::I32(-3)),
        ("i", b"i\xFF\xFF\xFF\xFD".to_vec(), Value::U32(4_294_967_293)),
        ("l", b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC".to_vec(), Value::I64(-4)),
        ("f", b"f\x3F\xC0\0\0".to_vec(), Value::F32(1.5)),
        ("d", b"d\xBF\xF8\0\0\0\0\0\0".to_vec(), Value::F64(-1.5)),
        ("D", b"D\x02\xFF\0\0\x01".to_vec(), Value::Decimal { scale: 2, value: 0xFF00_0001 }),
        ("S", b"S\0\0\0\x02hi".to_vec(), Value::from("hi")),
        ("A", b"A\0\0\0\x03VB\x07".to_vec(), Value::Array(vec![Value::Void, Value::U8(7)])),
        ("T", b"T\xFF\0\0\0\0\0\0\x01".to_vec(), Value::Timestamp(0xFF00_0000_0000_0001)),
        ("F", b"F\0\0\0\x04\x01kt\x01".to_vec(), Value::Table(inner)),
        ("V", b"V".to_vec(), Value::Void),
        ("x", b"x\0\0\0\x02\0\xFF".to_vec(), Value::Bytes(vec![0, 255])),
    ]
}

fn entry(key: &[u8], typed: &[u8]) -> Vec<u8> {
    [&[key.len() as u8], key, typed].concat()
}

/// `levels` tables or arrays inside each other, as the content of a table.
fn nested(tag: u8, levels: usize) -> Vec<u8> {
    let mut content = Vec::new();
    for level in 0..levels {
        let mut outer = if tag == b'F' || level + 1 == levels { vec![1, b'k'] } else { Vec::new() };
        outer.push(tag);
        outer.extend_from_slice(&(content.len() as u32).to_be_bytes());
        outer.append(&mut content);
        content = outer;
    }
    content
}

#[test]
fn every_tag_is_read_and_written_as_rabbitmq_does() {
    let mut content = Vec::new();
    let mut expected = Table::new();
    for (key, typed, value) in every_tag() {
        let one = entry(key.as_bytes(), &typed);
        assert_eq!(Table::decode(&one), Ok([(key, value.clone())].into_iter().collect()), "tag {key}");
        content.extend_from_slice(&one);
        expected.push(key, value);
    }
    assert_eq!(scan(&content), Ok(()));
    assert_eq!(Table::decode(&content), Ok(expected.clone()));

    let mut encoded = Vec::new();
    expected.encode_content(&mut encoded);
    assert_eq!(encoded, content);
    let mut prefixed = Vec::new();
    expected.encode(&mut prefixed);
    assert_eq!(prefixed, [&(content.len() as u32).to_be_bytes()[..], &content].concat());
}

#[test]
fn unsigned_long_is_read_as_long_and_any_nonzero_octet_is_true() {
    let content = [entry(b"a", b"L\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), entry(b"b", b"t\x02")].concat();
    let table = Table::decode(&content).unwrap();
    assert_eq!(table.get("a"), Some(&Value::I64(-1)));
    assert_eq!(table.get("b"), Some(&Value::Bool(true)));
    let mut encoded = Vec::new();
    table.encode_content(&mut encoded);
    assert_eq!(encoded, [entry(b"a", b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), entry(b"b", b"t\x01")].concat());
}

#[test]
fn a_table_cut_anywhere_is_an_error_or_a_shorter_table() {
    let mut content = Vec::new();
    let mut ends = vec![0];
    for (key, typed, _) in every_tag() {
        content.extend_from_slice(&entry(key.as_bytes(), &typed));
        ends.push(content.len());
    }
    for cut in 0..content.len() {
        let expected = if ends.contains(&cut) { Ok(()) } else { Err(ValueError::Truncated) };
        assert_eq!(scan(&content[..cut]), expected, "cut at {cut}");
        assert_eq!(Table::decode(&content[..cut]).map(|_| ()), expected, "cut at {cut}");
    }
}

#[test]
fn lengths_of_four_gigabytes_are_refused_without_allocating() {
    for tag in [b'S', b'x', b'A', b'F'] {
        let content = entry(b"k", &[tag, 0xFF, 0xFF, 0xFF, 0xFF, 0]);
        assert_eq!(scan(&content), Err(ValueError::Truncated));
        assert_eq!(Table::decode(&content), Err(ValueError::Truncated));
    }
}

#[test]
fn tags_that_rabbitmq_refuses_are_refused() {
    for tag in 0..=u8::MAX {
        if b"tbBsuIilLfdDSATFVx".contains(&tag) {
            continue;
        }
        let content = entry(b"k", &[&[tag][..], &[0; 16]].concat());
        assert_eq!(scan(&content), Err(ValueError::UnknownTag(tag)));
        assert_eq!(Table::decode(&content), Err(ValueError::UnknownTag(tag)));
    }
}

#[test]
fn depth_is_bounded_alike_in_scan_and_decode() {
    for tag in [b'F', b'A'] {
        let deepest = nested(tag, TABLE_DEPTH_MAX);
        assert_eq!(scan(&deepest), Ok(()));
        let table = Table::decode(&deepest).unwrap();
        let mut encoded = Vec::new();
        table.encode_content(&mut encoded);
        assert_eq!(encoded, deepest);

        let deeper = nested(tag, TABLE_DEPTH_MAX + 1);
        assert_eq!(scan(&deeper), Err(ValueError::TooDeep));
        assert_eq!(Table::decode(&deeper), Err(ValueError::TooDeep));
        assert_eq!(scan(&nested(tag, 20_000)), Err(ValueError::TooDeep));
        assert_eq!(Table::decode(&nested(tag, 20_000)), Err(ValueError::TooDeep));
    }
}

#[test]
fn many_tables_beside_each_other_are_not_deep() {
    let content = entry(b"k", b"F\0\0\0\0").repeat(1000);
    assert_eq!(scan(&content), Ok(()));
    assert_eq!(Table::decode(&content).unwrap().len(), 1000);
}

#[test]
fn order_duplicates_and_odd_keys_are_kept() {
    let content = [entry(b"z", b"B\x01"), entry(b"\xFF", b"V"), entry(b"z", b"B\x02"), entry(b"", b"V")].concat();
    let mut table = Table::decode(&content).unwrap();
    assert_eq!(table.iter().map(|(key, _)| key.as_bytes()).collect::<Vec<_>>(), [&b"z"[..], b"\xFF", b"z", b""]);
    let mut encoded = Vec::new();
    table.encode_content(&mut encoded);
    assert_eq!(encoded, content);

    assert_eq!(table.get("z"), Some(&Value::U8(1)), "the first wins");
    assert_eq!(table.get(&b"\xFF"[..]), Some(&Value::Void));
    table.insert("z", Value::U8(3));
    assert_eq!(table.len(), 4);
    assert_eq!(table.get("z"), Some(&Value::U8(3)));
    assert_eq!(table.remove("z"), Some(Value::U8(3)));
    assert_eq!(table.get("z"), None, "no duplicate comes to light");
    assert_eq!(table.len(), 2);
    table.insert("new", true);
    assert_eq!(
        table.iter().next_back().map(|(key, value)| (key.to_string(), value.clone())),
        Some(("new".into(), Value::Bool(true)))
    );
}

#[test]
fn keys_fit_a_short_string() {
    const LONG: &str = "ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé\
                        ééééééééééééééééééééééééééééééééé";
    assert!(LONG.len() > 255);
    assert_eq!(Key::from(LONG).as_bytes().len(), 254, "cut between characters");
    assert_eq!(Key::new(&[b'x'; 256]), None);
    assert_eq!(Key::new(&[b'x'; 255]).map(|key| key.as_bytes().len()), Some(255));
    assert_eq!(Key::from(&Name::new("q").unwrap()).as_str(), Some("q"));
    assert_eq!(Key::new(b"\xFF").unwrap().as_str(), None);
}

#[test]
fn type_names_are_rabbitmqs() {
    let names: Vec<_> = every_tag().into_iter().map(|(_, _, value)| value.type_name()).collect();
    assert_eq!(
        names.join(" "),
        "bool byte unsignedbyte short unsignedshort signedint unsignedint long float double decimal longstr array \
         timestamp table void binary"
    );
}

#[test]
fn declarations_compare_numbers_by_value() {
    assert!(Value::I32(5).equivalent(&Value::I64(5)));
    assert!(Value::U8(255).equivalent(&Value::I16(255)));
    assert!(!Value::U8(255).equivalent(&Value::I8(-1)));
    assert!(Value::F32(1.5).equivalent(&Value::F64(1.5)));
    assert!(!Value::I32(1).equivalent(&Value::F64(1.0)), "integer and float are two classes");
    assert!(!Value::Timestamp(5).equivalent(&Value::I64(5)));
    assert!(!Value::from("5").equivalent(&Value::I64(5)));
    assert!(Value::from("a").equivalent(&Value::from("a")));
    assert!(!Value::Array(vec![Value::I32(5)]).equivalent(&Value::Array(vec![Value::I64(5)])));
}

#[test]
fn accessors_see_their_type_only() {
    let integers: Vec<_> = every_tag().iter().filter_map(|(_, _, value)| value.as_integer()).collect();
    assert_eq!(integers, [-1, 255, -2, 65534, -3, 4_294_967_293, -4]);
    assert_eq!(every_tag().iter().filter_map(|(_, _, value)| value.as_str()).collect::<Vec<_>>(), ["hi"]);
    assert_eq!(every_tag().iter().filter_map(|(_, _, value)| value.as_bool()).collect::<Vec<_>>(), [true]);
    assert_eq!(every_tag().iter().filter_map(|(_, _, value)| value.as_float()).collect::<Vec<_>>(), [1.5, -1.5]);
    assert_eq!(every_tag().iter().filter(|(_, _, value)| value.as_table().is_some()).count(), 1);
    assert_eq!(every_tag().iter().filter(|(_, _, value)| value.as_array().is_some()).count(), 1);
    assert_eq!(Value::LongString(vec![0xFF]).as_str(), None);
}

#[test]
fn values_print_as_erlang_terms() {
    let printed: Vec<_> = every_tag().into_iter().map(|(_, _, value)| value.to_string()).collect();
    assert_eq!(
        printed[..14].join(" "),
        "true -1 255 -2 65534 -3 4294967293 -4 1.5 -1.5 {2,4278190081} hi [{void,undefined},{unsignedbyte,7}] \
         18374686479671623681"
    );
    assert_eq!(printed[14..16], ["[{<<\"k\">>,bool,true}]", "undefined"]);
    assert_eq!(
        Value::Array(vec![Value::from("a\"b"), Value::from("é")]).to_string(),
        "[{longstr,<<\"a\\\"b\">>},{longstr,<<195,169>>}]"
    );
    assert_eq!(Binary(b"").to_string(), "<<>>");
}
