//! The OpenAPI description, made from the route table: what is not in the table does not exist, and what is, is described.

use super::answer::Outcome;
use super::list::object;
use super::request::Request;
use super::route::{Needs, Route, Type, Verb, get};
use super::routes;
use serde_json::{Map, Value as Json, json};

pub(super) const ROUTES: &[Route] = &[get("/openapi.json", Needs::Nothing, description, "This description")];

fn description(request: &Request) -> Outcome {
    Ok(object(request, describe(request.place.version, &request.place.offer.path_prefix)))
}

/// The description; `prefix`: what all paths begin with.
pub fn describe(version: &str, prefix: &str) -> Json {
    let mut paths = Map::new();
    for route in routes() {
        let path = paths.entry(format!("/api{}", route.path)).or_insert_with(|| json!({}));
        if let Json::Object(methods) = path {
            methods.insert(route.verb.name().to_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Warren's management API",
            "description": "The endpoints of RabbitMQ's management HTTP API that concern what Warren has.",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": if prefix.is_empty() { "/" } else { prefix }}],
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": {"Error": {
                "type": "object",
                "required": ["error", "reason"],
                "properties": {"error": {"type": "string"}, "reason": {"type": "string"}},
            }},
        },
        "paths": paths,
    })
}

/// Names in braces.
pub fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn operation(route: &Route) -> Json {
    let mut parameters: Vec<Json> = names_in(route.path)
        .map(|name| {
            let schema = if name == "dtype" {
                json!({"type": "string", "enum": ["q", "e"]})
            } else {
                json!({"type": "string", "minLength": 1})
            };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    if route.paged {
        let whole = |most: Option<u32>| match most {
            Some(most) => json!({"type": "integer", "minimum": 1, "maximum": most}),
            None => json!({"type": "integer", "minimum": 1}),
        };
        let text = || json!({"type": "string"});
        let flag = || json!({"type": "boolean"});
        let query = [
            ("page", whole(None)),
            ("page_size", whole(Some(500))),
            ("name", json!({"type": "string", "maxLength": 1024})),
            ("use_regex", flag()),
            ("sort", text()),
            ("sort_reverse", flag()),
            ("columns", text()),
            ("disable_stats", flag()),
            ("enable_queue_totals", flag()),
        ];
        parameters
            .extend(query.into_iter().map(|(name, schema)| json!({"name": name, "in": "query", "schema": schema})));
    }
    let mut operation = json!({
        "summary": route.about,
        "operationId": operation_id(route),
        "parameters": parameters,
        "responses": responses(route),
        "x-needs": format!("{:?}", route.needs),
    });
    if let Json::Object(members) = &mut operation {
        if route.needs != Needs::Nothing {
            members.insert("security".to_owned(), json!([{"basic": []}]));
        }
        if !route.body.is_empty() {
            members.insert("requestBody".to_owned(), body(route));
        }
    }
    operation
}

/// The method and the words of the path.
fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .split(['/', '-', '_', '.'])
        .map(|part| part.trim_matches(['{', '}']))
        .filter(|part| !part.is_empty());
    let mut id = route.verb.name().to_lowercase();
    for word in words {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

fn body(route: &Route) -> Json {
    let schema = |kind: Type| match kind {
        Type::Text => json!({"type": "string"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Flag => json!({"type": "boolean"}),
        Type::Object => json!({"type": "object"}),
        Type::List => json!({"type": "array", "items": {}}),
        Type::Any => json!({}),
    };
    let properties: Map<String, Json> =
        route.body.iter().map(|(name, kind, _)| ((*name).to_owned(), schema(*kind))).collect();
    let required: Vec<&str> = route.body.iter().filter(|(_, _, required)| *required).map(|(name, ..)| *name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if let Json::Object(members) = &mut schema
        && !required.is_empty()
    {
        members.insert("required".to_owned(), json!(required));
    }
    let kind = if route.path == "/login" { "application/x-www-form-urlencoded" } else { "application/json" };
    json!({"required": !required.is_empty(), "content": {kind: {"schema": schema}}})
}

fn responses(route: &Route) -> Json {
    let error = |about: &str| json!({"description": about, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let term = json!({"schema": {"type": "string", "format": "binary"}});
    let value = json!({
        "description": "As asked for",
        "content": {"application/json": {"schema": {}}, "application/bert": term},
    });
    let mut responses = Map::new();
    let mut add = |status: &str, response: Json| responses.insert(status.to_owned(), response);
    match route.verb {
        Verb::Get => add("200", value),
        Verb::Put => {
            add("201", json!({"description": "Made"}));
            add("204", json!({"description": "Changed, or it was so"}))
        }
        Verb::Post => {
            add("200", value);
            add("201", json!({"description": "Made"}));
            add("204", json!({"description": "Done"}))
        }
        Verb::Delete => add("204", json!({"description": "Gone"})),
    };
    add("400", error("The request makes no sense"));
    add("401", error("Not logged in, or not allowed"));
    add("404", error("There is no such thing"));
    add("405", error("Not with this method"));
    add("408", error("The request came too slowly"));
    add("412", error("It is protected"));
    add("413", error("The body is too large"));
    add(
        "503",
        json!({"description": "A check has failed, or the node cannot do it now", "content": {"application/json": {"schema": {}}}}),
    );
    Json::Object(responses)
}
