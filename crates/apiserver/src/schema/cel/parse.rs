//! Parses expressions within bounds, and looks at their parts.
//!
//! Does not know what they mean.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{EntryExpr, Expr};
use kube_cel::cel::parser::Parser;

/// Characters of one expression; the longest in common CRDs has about two thousand.
const LONGEST: usize = 16 * 1024;
/// Brackets within brackets; the parser's effort grows quickly with them.
const DEEPEST_BRACKETS: usize = 32;
/// Nesting of a parsed expression, which is walked by recursion.
const DEEPEST_TREE: usize = 128;
/// The parser recurses too, on input that is not yet known to be shallow.
const PARSER_STACK: usize = 64 << 20;

/// Parses an expression whose author is not trusted.
pub(super) fn parse(source: &str) -> Result<IdedExpr, String> {
    if source.chars().count() > LONGEST {
        return Err(format!("expression is longer than {LONGEST} characters"));
    }
    if bracket_depth(source) > DEEPEST_BRACKETS {
        return Err(format!(
            "expression nests brackets deeper than {DEEPEST_BRACKETS}"
        ));
    }
    let owned = source.to_owned();
    let parsed = std::thread::Builder::new()
        .name("cel-parse".into())
        .stack_size(PARSER_STACK)
        .spawn(move || {
            let parser = Parser::new().enable_optional_syntax(true);
            let expression = parser.parse(&owned).map_err(|error| error.to_string())?;
            if tree_depth(&expression) > DEEPEST_TREE {
                return Err(format!("expression nests deeper than {DEEPEST_TREE}"));
            }
            Ok(expression)
        })
        .map_err(|e| format!("expression could not be parsed: {e}"))?;
    parsed
        .join()
        .unwrap_or_else(|_| Err("expression is not understood".into()))
}

fn bracket_depth(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn tree_depth(expression: &IdedExpr) -> usize {
    1 + children(&expression.expr)
        .into_iter()
        .map(tree_depth)
        .max()
        .unwrap_or(0)
}

/// The parts of an expression.
pub(super) fn children(expression: &Expr) -> Vec<&IdedExpr> {
    match expression {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(c) => {
            vec![
                &c.iter_range,
                &c.accu_init,
                &c.loop_cond,
                &c.loop_step,
                &c.result,
            ]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|e| entry_parts(&e.expr))
            .collect(),
        Expr::Struct(s) => s
            .entries
            .iter()
            .filter_map(|e| match &e.expr {
                EntryExpr::StructField(field) => Some(&field.value),
                EntryExpr::MapEntry(_) => None,
            })
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(e) => vec![&e.key, &e.value],
        EntryExpr::StructField(f) => vec![&f.value],
    }
}

/// Whether a name occurs anywhere.
pub(super) fn mentions(expression: &IdedExpr, name: &str) -> bool {
    matches!(&expression.expr, Expr::Ident(found) if found == name)
        || children(&expression.expr)
            .into_iter()
            .any(|part| mentions(part, name))
}
