//! Knows the macros that the parser takes for calls, once for all who walk through an expression.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, Expr};

use super::eval::LIBRARIES;

/// How many of a macro's first arguments are new names; none for what is no macro.
pub(super) fn new_names(call: &CallExpr, target: &IdedExpr) -> Option<usize> {
    match (call.func_name.as_str(), call.args.len()) {
        ("all" | "exists" | "existsOne" | "exists_one", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => Some(2),
        ("optMap" | "optFlatMap" | "sortBy", 2) => Some(1),
        ("bind", 3) if is_library(target) => Some(1),
        _ => None,
    }
}

/// `sets` in `sets.contains(…)` is no variable.
pub(super) fn is_library(target: &IdedExpr) -> bool {
    matches!(&target.expr, Expr::Ident(name) if LIBRARIES.contains(&name.as_str()))
}
