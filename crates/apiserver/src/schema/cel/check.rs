//! Finds out, before an object is ever seen, that a rule cannot work: unknown fields, names, functions, types that never compare.
//!
//! Does not infer every type: what it is not sure of, it lets pass.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr};

use super::expression::Declared;
use super::macros::{is_library, new_names};
use super::parse::children;
use super::value::escape;
use super::{Rule, refusal};
use crate::schema::error::{FieldError, child};
use crate::schema::{Additional, Kind, ListType, Node};

/// What an expression is known to be.
#[derive(Clone, Copy)]
enum Type<'a> {
    Unknown,
    Scalar(&'static str),
    At(&'a Node),
    /// A node whose `apiVersion`, `kind` and `metadata` can be seen.
    Resource(&'a Node),
    Metadata,
}

/// Checks all rules below a root node.
pub(in crate::schema) fn check_rules(root: &Node, errors: &mut Vec<FieldError>) {
    walk(root, "openAPIV3Schema", true, true, errors);
}

fn walk(node: &Node, path: &str, resource: bool, correlated: bool, errors: &mut Vec<FieldError>) {
    let this = if resource || node.embedded {
        Type::Resource(node)
    } else {
        Type::At(node)
    };
    for (i, rule) in node.rules.iter().enumerate() {
        let at = format!("{path}.x-kubernetes-validations[{i}]");
        errors.extend(check(rule, this, node, &at, correlated));
    }
    for (name, property) in &node.properties {
        walk(
            property,
            &format!("{path}.properties[{name}]"),
            false,
            correlated,
            errors,
        );
    }
    if let Additional::Of(next) = &node.additional {
        walk(
            next,
            &child(path, "additionalProperties"),
            false,
            correlated,
            errors,
        );
    }
    if let Some(items) = &node.items {
        let correlated = correlated && node.list_type == ListType::Map;
        walk(items, &child(path, "items"), false, correlated, errors);
    }
}

fn check(
    rule: &Rule,
    this: Type<'_>,
    node: &Node,
    at: &str,
    correlated: bool,
) -> Option<FieldError> {
    let entry = rule.entry();
    if rule.uses_old_self && !correlated && rule.optional_old_self != Some(true) {
        let why = "oldSelf cannot be used on the uncorrelatable portion of the schema";
        return Some(FieldError::invalid_text(
            &child(at, "rule"),
            &rule.source,
            why,
        ));
    }
    let optional = rule.optional_old_self == Some(true);
    let found = program_problem(&rule.program, &rule.source, this, optional, "bool");
    if let Some(why) = found {
        return Some(refusal(&child(at, "rule"), &entry, &why));
    }
    if let Some((source, program)) = &rule.message_expression
        && let Some(why) = program_problem(program, source, this, optional, "string")
    {
        return Some(refusal(&child(at, "messageExpression"), &entry, &why));
    }
    let (text, parts) = rule.field_path.as_ref()?;
    let missing = parts
        .iter()
        .try_fold(node, |at, part| at.member(part))
        .is_none()
        && !node.preserve_unknown;
    let why = "fieldPath must be a valid path: does not refer to a valid field";
    missing.then(|| FieldError::invalid_text(&child(at, "fieldPath"), text, why))
}

fn program_problem(
    program: &IdedExpr,
    source: &str,
    this: Type<'_>,
    optional: bool,
    want: &str,
) -> Option<String> {
    let old_self = if optional { Type::Unknown } else { this };
    let names = vec![("self", this), ("oldSelf", old_self)];
    match infer(program, source, names, escape) {
        Err(why) => Some(why),
        Ok(Some(got)) if got != want => Some(format!("must evaluate to a {want}")),
        Ok(_) => None,
    }
}

/// The type of an expression over declared names, where it is certain; the error has its place.
pub(super) fn type_of(
    program: &IdedExpr,
    source: &str,
    names: &[Declared<'_>],
) -> Result<Option<&'static str>, String> {
    let declared = names.iter();
    let declared = declared.map(|one| (one.name, one.shape.map_or(Type::Unknown, Type::At)));
    // Shapes that are no schemas have their names as they are.
    infer(program, source, declared.collect(), str::to_owned)
}

fn infer(
    program: &IdedExpr,
    source: &str,
    names: Vec<(&str, Type<'_>)>,
    spelled: fn(&str) -> String,
) -> Result<Option<&'static str>, String> {
    let mut scope = Scope {
        names,
        spelled,
        problem: None,
    };
    let result = scope.infer(program);
    match scope.problem {
        Some((word, why)) => Err(located(source, &word, &why)),
        None => Ok(scalar(result)),
    }
}

/// The error with its place, as CEL prints it. The place is looked up by text: the tree does not carry it.
fn located(source: &str, word: &str, why: &str) -> String {
    let position = find_word(source, word).unwrap_or(0);
    let line_start = source[..position].rfind('\n').map_or(0, |i| i + 1);
    let line_number = source[..position].matches('\n').count() + 1;
    let line = source[line_start..].lines().next().unwrap_or_default();
    let column = source[line_start..position].chars().count();
    format!(
        "ERROR: <input>:{line_number}:{}: {why}\n | {line}\n | {}^",
        column + 1,
        ".".repeat(column)
    )
}

fn find_word(source: &str, word: &str) -> Option<usize> {
    let whole = |at: &usize| {
        let after = source[at + word.len()..].chars().next();
        !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    source.match_indices(word).map(|(at, _)| at).find(whole)
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "map",
        Kind::Array => "list",
        Kind::String => "string",
        Kind::Integer => "int",
        Kind::Number => "double",
        Kind::Boolean => "bool",
    }
}

/// The name of a scalar type, where it is certain.
fn scalar(of: Type<'_>) -> Option<&'static str> {
    match of {
        Type::Scalar(name) => Some(name),
        Type::At(node) => match (node.kind, node.format.as_deref()) {
            (Some(Kind::String), Some("date" | "date-time")) => Some("timestamp"),
            (Some(Kind::String), Some("duration")) => Some("duration"),
            (Some(Kind::String), Some("byte")) => Some("bytes"),
            (Some(Kind::Object | Kind::Array) | None, _) => None,
            (Some(kind), _) if !node.nullable => Some(kind_name(kind)),
            (Some(_), _) => None,
        },
        Type::Unknown | Type::Resource(_) | Type::Metadata => None,
    }
}

/// Says that there is no such name, and what to write instead of what CEL has elsewhere and Kubernetes does not.
fn undeclared(name: &str) -> String {
    let instead = match name {
        "math" => ": Kubernetes has no such library; compare and choose, as in a > b ? a : b",
        "base64" => ": Kubernetes has no such library; rules see a field of `format: byte` decoded",
        "jsonpatch" => ": Kubernetes has it only where objects are mutated",
        "cel" => ": Kubernetes has no cel.bind; write the expression where it is needed",
        _ => "",
    };
    format!("undeclared reference to '{name}' (in container ''){instead}")
}

struct Scope<'s, 'a> {
    names: Vec<(&'s str, Type<'a>)>,
    /// How an expression reaches a field of a name.
    spelled: fn(&str) -> String,
    /// The word to point at, and what is wrong with it.
    problem: Option<(String, String)>,
}

impl<'s, 'a> Scope<'s, 'a> {
    fn fail(&mut self, word: &str, why: String) -> Type<'a> {
        self.problem.get_or_insert_with(|| (word.to_owned(), why));
        Type::Unknown
    }

    fn infer(&mut self, expression: &'s IdedExpr) -> Type<'a> {
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Literal(literal) => Type::Scalar(match literal {
                LiteralValue::Boolean(_) => "bool",
                LiteralValue::Bytes(_) => "bytes",
                LiteralValue::Double(_) => "double",
                LiteralValue::Int(_) => "int",
                LiteralValue::Null => return Type::Unknown,
                LiteralValue::String(_) => "string",
                LiteralValue::UInt(_) => "uint",
            }),
            other @ (Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified) => {
                for part in children(other) {
                    self.infer(part);
                }
                Type::Unknown
            }
        }
    }

    fn name(&mut self, name: &str) -> Type<'a> {
        const TYPES: [&str; 14] = [
            "google",
            "optional_type",
            "int",
            "uint",
            "double",
            "bool",
            "string",
            "bytes",
            "list",
            "map",
            "null_type",
            "type",
            "timestamp",
            "duration",
        ];
        if let Some((_, found)) = self.names.iter().rev().find(|(known, _)| *known == name) {
            return *found;
        }
        if TYPES.contains(&name) || name.starts_with(['@', '#']) {
            return Type::Unknown;
        }
        self.fail(name, undeclared(name))
    }

    fn select(&mut self, select: &'s SelectExpr) -> Type<'a> {
        let field = select.field.as_str();
        let node = match self.infer(&select.operand) {
            Type::Unknown => return Type::Unknown,
            Type::Metadata if matches!(field, "name" | "generateName") => {
                return Type::Scalar("string");
            }
            Type::Metadata => return self.undefined(field),
            Type::Scalar(name) => {
                return self.fail(
                    &format!(".{field}"),
                    format!("type '{name}' does not support field selection"),
                );
            }
            Type::Resource(_) if matches!(field, "apiVersion" | "kind") => {
                return Type::Scalar("string");
            }
            Type::Resource(_) if field == "metadata" => return Type::Metadata,
            Type::Resource(node) | Type::At(node) => node,
        };
        match node.kind {
            Some(Kind::Object) => {
                let found = node
                    .properties
                    .iter()
                    .find(|(name, _)| (self.spelled)(name) == field);
                let result = match (found, &node.additional) {
                    (Some((_, next)), _) if next.embedded => Type::Resource(next),
                    (Some((_, next)), _) => Type::At(next),
                    (None, Additional::Of(next)) => Type::At(next),
                    (None, Additional::Any) => Type::Unknown,
                    (None, Additional::None)
                        if node.preserve_unknown && node.properties.is_empty() =>
                    {
                        Type::Unknown
                    }
                    (None, Additional::None) => self.undefined(field),
                };
                if select.test {
                    Type::Scalar("bool")
                } else {
                    result
                }
            }
            Some(kind) => {
                let why = format!(
                    "type '{}' does not support field selection",
                    kind_name(kind)
                );
                self.fail(&format!(".{field}"), why)
            }
            None => Type::Unknown,
        }
    }

    fn undefined(&mut self, field: &str) -> Type<'a> {
        self.fail(&format!(".{field}"), format!("undefined field '{field}'"))
    }

    fn call(&mut self, call: &'s CallExpr) -> Type<'a> {
        let name = call.func_name.as_str();
        if let Some(result) = self.macro_call(call) {
            return result;
        }
        if let Some(target) = &call.target
            && !is_library(target)
        {
            self.infer(target);
        }
        let arguments: Vec<Type<'a>> = call.args.iter().map(|a| self.infer(a)).collect();
        match (name, arguments.as_slice()) {
            ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => {
                self.comparable(name, *a, *b);
                Type::Scalar("bool")
            }
            ("_&&_" | "_||_" | "!_" | "@in" | "@not_strictly_false", _) => Type::Scalar("bool"),
            ("_[_]", [Type::At(node) | Type::Resource(node), _]) => {
                match (&node.items, &node.additional) {
                    (Some(items), _) => Type::At(items),
                    (None, Additional::Of(next)) => Type::At(next),
                    (None, Additional::None | Additional::Any) => Type::Unknown,
                }
            }
            _ if name.starts_with(|c: char| c.is_ascii_alphabetic())
                && FUNCTIONS.split(' ').all(|f| f != name) =>
            {
                self.fail(name, undeclared(name))
            }
            ("size", _) => Type::Scalar("int"),
            ("startsWith" | "endsWith" | "contains" | "matches", _) => Type::Scalar("bool"),
            _ => Type::Unknown,
        }
    }

    /// Macros that the parser takes for calls: their first arguments are new names.
    fn macro_call(&mut self, call: &'s CallExpr) -> Option<Type<'a>> {
        let target = call.target.as_deref()?;
        if call.func_name == "bind" && is_library(target) {
            return Some(self.fail("cel", undeclared("cel")));
        }
        let names = new_names(call, target)?;
        if !is_library(target) {
            self.infer(target);
        }
        let (variables, rest) = call.args.split_at(names);
        let depth = self.names.len();
        for variable in variables {
            if let Expr::Ident(name) = &variable.expr {
                self.names.push((name, Type::Unknown));
            }
        }
        for part in rest {
            self.infer(part);
        }
        self.names.truncate(depth);
        let result = match call.func_name.as_str() {
            "all" | "exists" | "existsOne" | "exists_one" => Type::Scalar("bool"),
            _ => Type::Unknown,
        };
        Some(result)
    }

    fn comparable(&mut self, operator: &str, a: Type<'a>, b: Type<'a>) {
        let (Some(left), Some(right)) = (scalar(a), scalar(b)) else {
            return;
        };
        let numbers = ["int", "uint", "double"];
        let ordered = !matches!(operator, "_==_" | "_!=_");
        let mixed_numbers = ordered && numbers.contains(&left) && numbers.contains(&right);
        if left != right && !mixed_numbers {
            let sign = operator.trim_matches('_');
            self.fail(
                sign,
                format!(
                    "found no matching overload for '{operator}' applied to '({left}, {right})'"
                ),
            );
        }
    }

    fn comprehension(&mut self, c: &'s ComprehensionExpr) -> Type<'a> {
        let over = self.infer(&c.iter_range);
        let item = match over {
            Type::At(node) | Type::Resource(node) => match (node.kind, &node.items) {
                (Some(Kind::Array), Some(items)) => Type::At(items),
                (Some(Kind::Object), _) => Type::Scalar("string"),
                _ => Type::Unknown,
            },
            Type::Unknown | Type::Scalar(_) | Type::Metadata => Type::Unknown,
        };
        self.infer(&c.accu_init);
        let depth = self.names.len();
        self.names.push((&c.accu_var, Type::Unknown));
        let two = c.iter_var2.as_deref();
        self.names.push((
            &c.iter_var,
            if two.is_some() { Type::Unknown } else { item },
        ));
        self.names.extend(two.map(|name| (name, Type::Unknown)));
        self.infer(&c.loop_cond);
        self.infer(&c.loop_step);
        let result = self.infer(&c.result);
        self.names.truncate(depth);
        result
    }
}

/// What CEL and Kubernetes offer and the interpreter here has.
const FUNCTIONS: &str = "add all allowed asApproximateFloat asInteger \
    bool byte bytes charAt check cidr compareTo contains containsCIDR containsIP date \
    datetime distinct dns1035Label dns1035LabelPrefix dns1123Label dns1123LabelPrefix \
    dns1123Subdomain dns1123SubdomainPrefix double duration dyn endsWith equivalent error \
    errored exists exists_one family fieldSelector filter find findAll first flatten format getDate \
    getDayOfMonth getDayOfWeek getDayOfYear getEscapedPath getFullYear getHost getHostname \
    getHours getMilliseconds getMinutes getMonth getPort getQuery getScheme getSeconds \
    group has hasValue indexOf int intersects ip isCIDR isCIDRv4 isCIDRv6 isCanonical \
    isGlobalUnicast isGreaterThan isIP isIPv4 isIPv6 isInteger isLessThan \
    isLinkLocalMulticast isLinkLocalUnicast isLoopback isQuantity isSemver isSorted \
    isURL isUnspecified join labelSelector labelValue last lastIndexOf lowerAscii major map masked \
    matches max min minor name named namedFormat namespace none of ofNonZeroValue optFlatMap optMap \
    optional_none or orValue patch path prefixLength qualifiedName quantity quote range reason replace resource \
    reverse semver serviceAccount sign size slice sort split startsWith string sub subresource substring sum \
    timestamp trim type uint upperAscii uri url uuid validate value";
