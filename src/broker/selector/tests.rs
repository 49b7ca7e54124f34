//! Selectors in both forms.

use super::*;

fn headers() -> Table {
    Table::from_iter([
        ("colour", Value::from("red")),
        ("weight", Value::I32(5)),
        ("price", Value::F64(2.5)),
        ("fresh", Value::Bool(true)),
        ("since", Value::Timestamp(1000)),
        ("odd", Value::Void),
    ])
}

#[track_caller]
fn sql(text: &str) -> bool {
    Selector::from_sql(text).unwrap_or_else(|error| panic!("{text}: {error}")).selects(&headers())
}

#[track_caller]
fn term(text: &str) -> bool {
    Selector::from_term(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).selects(&headers())
}

#[test]
fn what_is_true_is_selected() {
    for text in [
        "colour = 'red'",
        "COLOUR IS NULL",
        "colour <> 'blue' and weight >= 5",
        "weight BETWEEN 1 AND 5 AND weight NOT BETWEEN 6 AND 9",
        "colour IN ('blue', 'red') AND colour NOT IN ('green')",
        "colour LIKE 'r%' and colour NOT LIKE '_'",
        "colour LIKE 'r!%' ESCAPE '!' OR fresh",
        "missing IS NULL AND colour IS NOT NULL",
        "NOT weight > 5 AND NOT NOT fresh",
        "weight * 2 + 1 = 11 AND weight - 2 * 2 = 1 AND (weight - 2) * 2 = 6",
        "-weight = -5 AND +weight = 5 AND - -weight = 5",
        "price = 2.5 AND price < weight AND weight / 2 = price AND price = 25e-1",
        "weight = 0x5 AND weight = 5L AND .5 = 0.5",
        "'it''s' = 'it''s' AND since = 1000",
        "TRUE AND fresh = TRUE AND fresh <> FALSE",
        "colour = 'red' OR missing = 1",
        "weight <> 'five'",
    ] {
        assert!(sql(text), "{text}");
    }
}

#[test]
fn what_is_false_or_unknown_is_not() {
    for text in [
        "colour = 'RED'",
        "colour = 'blue' OR weight = 6",
        "missing = 1",
        "NOT missing = 1",
        "missing <> 1",
        "missing IN ('a') OR missing NOT IN ('a')",
        "missing LIKE '%'",
        "weight LIKE '%'",
        "weight = 'five'",
        "weight > 'five'",
        "NOT weight < 'five'",
        "colour",
        "weight",
        "weight / 0 = 1",
        "odd IS NOT NULL",
        "missing BETWEEN 1 AND 2",
        "colour = 'red' AND missing = 1",
    ] {
        assert!(!sql(text), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let deep = format!("{}a = 1{}", "(".repeat(1000), ")".repeat(1000));
    let long = format!("a = '{}'", "x".repeat(100_000));
    let sums = format!("a = 1{}", " + 1".repeat(2000));
    for text in [
        "",
        "a =",
        "= 1",
        "a = 1 b",
        "a IN ()",
        "a IN (1)",
        "a LIKE b",
        "a LIKE 'x' ESCAPE 'yy'",
        "a = 'x",
        "a # 1",
        "a NOT 1",
        "a BETWEEN 1",
        "(a = 1",
        "a = 1.2.3",
        "a = 0xfffffffffffffffffff",
        "a IS 1",
        &deep,
        &long,
        &sums,
    ] {
        assert!(Selector::from_sql(text).is_err(), "{text}");
    }
    let deep = format!("{}true{}", "{'not',".repeat(1000), "}".repeat(1000));
    for text in
        ["", "{", "{'='}", "{'=',1}", "maybe", "{'ident',5}", "<<5>>", "true false", "[1]", "{1,2}", "<<\"a", &deep]
    {
        assert!(Selector::from_term(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn long_chains_are_fine() {
    let chain: Vec<String> = (0..500).map(|number| format!("weight = {number}")).collect();
    assert!(sql(&chain.join(" OR ")));
    assert!(!sql(&chain.join(" AND ")));
}

#[test]
fn terms_mean_the_same() {
    for text in [
        "{'=',{'ident',<<\"colour\">>},<<\"red\">>}.",
        "{'and',{'>=',{'ident',<<\"weight\">>},5},{'<>',{'ident',<<\"colour\">>},<<\"blue\">>}}",
        "{'or',{'=',{'ident',<<\"missing\">>},1},{'ident',<<\"fresh\">>}}",
        "{'between',{'ident',<<\"weight\">>},{'range',1,5}}",
        "{'between',{'ident',<<\"weight\">>},1,5}",
        "{'not_between',{'ident',<<\"weight\">>},6,7}",
        "{'in',{'ident',<<\"colour\">>},[<<\"blue\">>,<<\"red\">>]}",
        "{'not_in',{'ident',<<\"colour\">>},[<<\"blue\">>]}",
        "{'like',{'ident',<<\"colour\">>},<<\"r%\">>,'no_escape'}",
        "{'not_like',{'ident',<<\"colour\">>},<<\"r!%\">>,<<\"!\">>}",
        "{'is_null',{'ident',<<\"missing\">>}}",
        "{'not_null',{'ident',<<\"colour\">>}}",
        "{'not',{'=',{'ident',<<\"weight\">>},{'-',5}}}",
        "{'=',{'+',{'ident',<<\"weight\">>},{'*',2,3}},11} .",
        "{'=',{'/',{'ident',<<\"weight\">>},2},{'ident',<<\"price\">>}}",
        "{'=', {ident, <<\"price\">>}, 2.5}.",
        "{'=',<<\"a\\\"\\\\b\">>,<<\"a\\\"\\\\b\">>}",
        "true.",
    ] {
        assert!(term(text), "{text}");
    }
    for text in [
        "false",
        "{'=',{'ident',<<\"missing\">>},1}",
        "{'not',{'=',{'ident',<<\"missing\">>},1}}",
        "<<\"text\">>",
        "<<>>",
    ] {
        assert!(!term(text), "{text}");
    }
}
