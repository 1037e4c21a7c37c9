//! Random plans, of every shape that the query engine can make of SQL: what is sent of them has the answer that the
//! engine itself has over the same rows.

use std::cell::Cell;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::expr_fn::{character_length, date_trunc, lower};
use datafusion::functions_aggregate::expr_fn::{avg, count, count_distinct, max, min, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, ident, lit, when};
use datafusion::prelude::{DataFrame, JoinType, SessionContext};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use telemetrics_schema::columns::RECORDS;

use crate::clickhouse::{Remote, local, plan_of, record};

const ROWS: i64 = 60;
const COLUMNS: [(&str, Kind); 6] = [
    ("id", Kind::Number),
    ("severity", Kind::Small),
    ("build", Kind::Text),
    ("payload", Kind::Text),
    ("external", Kind::Truth),
    ("ts_reception", Kind::Instant),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Small,
    Text,
    Truth,
    Instant,
}

/// One operation on the rows before it. What it is about is chosen among the columns that there are by then.
#[derive(Debug, Clone)]
enum Step {
    Filter(Index, u8),
    Select(Vec<(Index, u8)>),
    Sort(Index, bool, bool),
    Limit(Index, bool, usize, usize),
    Aggregate(Vec<(Index, u8)>, Vec<(Index, u8)>),
    Distinct,
    Name,
    Join(Index, Index, bool),
    Union,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let choice = || (any::<Index>(), any::<u8>());
    let few = |least| prop::collection::vec(choice(), least..4);
    let step = prop_oneof![
        3 => choice().prop_map(|(column, how)| Step::Filter(column, how)),
        3 => few(1).prop_map(Step::Select),
        1 => (any::<Index>(), any::<bool>(), any::<bool>()).prop_map(|(by, up, nulls)| Step::Sort(by, up, nulls)),
        3 => (any::<Index>(), any::<bool>(), 0_usize..4, 1_usize..40)
            .prop_map(|(by, up, skip, most)| Step::Limit(by, up, skip, most)),
        3 => (few(0), few(1)).prop_map(|(keys, values)| Step::Aggregate(keys, values)),
        1 => Just(Step::Distinct),
        1 => Just(Step::Name),
        1 => (any::<Index>(), any::<Index>(), any::<bool>()).prop_map(|(l, r, inner)| Step::Join(l, r, inner)),
        1 => Just(Step::Union),
    ];
    prop::collection::vec(step, 1..6)
}

/// Rows with named columns, while steps are applied.
struct Rows {
    frame: DataFrame,
    columns: Vec<(String, Kind)>,
    names: usize,
    is_sorted: bool,
    has_offset: bool,
    is_total: bool,
}

impl Rows {
    async fn of(session: &SessionContext) -> Result<Self> {
        let frame = session.table(RECORDS).await?.select_columns(&COLUMNS.map(|(name, _)| name))?;
        let columns = COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Ok(Self { frame, columns, names: 0, is_sorted: false, has_offset: false, is_total: false })
    }

    fn column(&self, place: Index) -> (Expr, Kind) {
        let (name, kind) = place.get(&self.columns);
        (ident(name), *kind)
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("c{}", self.names)
    }

    /// Nothing comes behind an offset: the query engine itself (version 55.2) forgets the order that the offset is about
    /// when what is above asks for another one, or for none (apache/datafusion 23534).
    async fn apply(mut self, step: &Step, session: &SessionContext) -> Result<Self> {
        if self.has_offset {
            return plan_err!("the rest of the plan is over what is behind an offset");
        }
        self.is_sorted = matches!(step, Step::Sort(..) | Step::Limit(..));
        match step {
            Step::Filter(column, how) => {
                let (column, kind) = self.column(*column);
                self.frame = self.frame.filter(condition(column, kind, *how))?;
            }
            Step::Select(columns) => self = self.select(columns)?,
            Step::Sort(by, up, nulls_first) => self = self.sort(*by, *up, *nulls_first)?,
            Step::Limit(by, up, skip, most) => {
                self = self.sort(*by, *up, *up)?;
                self.frame = self.frame.limit(*skip, Some(*most))?;
                self.has_offset |= *skip > 0;
            }
            Step::Aggregate(keys, values) => self = self.aggregate(keys, values)?,
            Step::Distinct => self.frame = self.frame.distinct()?,
            Step::Name => {
                let name = self.new_name();
                self.frame = self.frame.alias(&name)?;
            }
            Step::Join(left, right, is_inner) => self = self.join(*left, *right, *is_inner, session).await?,
            Step::Union => self.frame = self.frame.clone().union(self.frame)?,
        }
        Ok(self)
    }

    /// Rows that are equal in all columns may change places.
    fn sort(mut self, by: Index, up: bool, nulls_first: bool) -> Result<Self> {
        let mut columns = self.columns.clone();
        let first = by.index(columns.len());
        columns.rotate_left(first);
        let order = columns.iter().map(|(name, _)| ident(name).sort(up, nulls_first)).collect();
        self.frame = self.frame.sort(order)?;
        Ok(self)
    }

    fn select(mut self, choices: &[(Index, u8)]) -> Result<Self> {
        let mut selected: Vec<(Expr, String, Kind)> = Vec::new();
        for (place, how) in choices {
            let (name, kind) = place.get(&self.columns).clone();
            let (expr, kind) = computed(ident(&name), kind, *how);
            let is_plain = expr == ident(&name);
            if is_plain && !selected.iter().any(|(_, other, _)| *other == name) {
                selected.push((expr, name, kind));
            } else {
                let name = self.new_name();
                selected.push((expr.alias(&name), name, kind));
            }
        }
        self.columns = selected.iter().map(|(_, name, kind)| (name.clone(), *kind)).collect();
        self.frame = self.frame.select(selected.into_iter().map(|(expr, ..)| expr).collect::<Vec<_>>())?;
        Ok(self)
    }

    /// No total of totals: the query engine answers it with the inner one where only the outer one has a filter
    /// (its rule `aggregate_statistics`, version 55.2).
    fn aggregate(mut self, keys: &[(Index, u8)], values: &[(Index, u8)]) -> Result<Self> {
        if self.is_total && keys.is_empty() {
            return plan_err!("a total of a total");
        }
        self.is_total |= keys.is_empty();
        let mut columns = Vec::new();
        let mut groups = Vec::new();
        for (place, how) in keys {
            let (name, kind) = place.get(&self.columns).clone();
            let (expr, kind) = computed(ident(&name), kind, *how);
            if columns.iter().any(|(other, _)| *other == name) || groups.contains(&expr) {
                continue;
            }
            let is_plain = expr == ident(&name);
            let name = if is_plain { name } else { self.new_name() };
            groups.push(if is_plain { expr } else { expr.alias(&name) });
            columns.push((name, kind));
        }
        let mut aggregates = Vec::new();
        for (place, how) in values {
            let (column, kind) = self.column(*place);
            let (value, kind) = aggregated(column, kind, *how)?;
            let name = self.new_name();
            aggregates.push(value.alias(&name));
            columns.push((name, kind));
        }
        self.columns = columns;
        self.frame = self.frame.aggregate(groups, aggregates)?;
        Ok(self)
    }

    async fn join(mut self, left: Index, right: Index, is_inner: bool, session: &SessionContext) -> Result<Self> {
        let kind = self.column(left).1;
        let of_kind: Vec<_> = COLUMNS.iter().filter(|(_, other)| *other == kind).collect();
        let (right, _) = of_kind[right.index(of_kind.len())];
        let (left, (key, value)) = (left.get(&self.columns).0.clone(), (self.new_name(), self.new_name()));
        let groups = session.table(RECORDS).await?;
        let groups = groups.aggregate(vec![ident(*right).alias(&key)], vec![count(lit(1_i64)).alias(&value)])?;
        let kind = if is_inner { JoinType::Inner } else { JoinType::Left };
        self.frame = self.frame.join(groups, kind, &[&left], &[&key], None)?;
        self.columns.push((value, Kind::Number));
        Ok(self)
    }
}

fn condition(column: Expr, kind: Kind, how: u8) -> Expr {
    let value = match kind {
        Kind::Number => lit(1_000 + i64::from(how) % 70),
        Kind::Small => lit(i64::from(how) % 5),
        Kind::Text => lit(["it's", "", "40020", "m", r"back\slash"][usize::from(how) % 5]),
        Kind::Truth => lit(how.is_multiple_of(2)),
        Kind::Instant => date_trunc(lit("day"), column.clone()),
    };
    match how % 6 {
        0 => column.eq(value),
        1 => column.not_eq(value),
        2 => column.lt(value),
        3 => column.gt_eq(value),
        4 => column.is_not_null(),
        _ => column.clone().gt(value.clone()).or(column.eq(value)),
    }
}

/// The column itself, or something made of it.
fn computed(column: Expr, kind: Kind, how: u8) -> (Expr, Kind) {
    if how.is_multiple_of(2) {
        return (column, kind);
    }
    match kind {
        Kind::Number => (column % lit(7_i64), Kind::Number),
        Kind::Small => (column.gt(lit(2_i64)), Kind::Truth),
        Kind::Text if how % 4 == 1 => (lower(column), Kind::Text),
        Kind::Text => (character_length(column).gt(lit(4_i64)), Kind::Truth),
        Kind::Truth => (!column, Kind::Truth),
        Kind::Instant => (date_trunc(lit("day"), column), Kind::Instant),
    }
}

fn aggregated(column: Expr, kind: Kind, how: u8) -> Result<(Expr, Kind)> {
    Ok(match (how % 6, kind) {
        (0, _) => (count(lit(1_i64)), Kind::Number),
        (1, _) => (count_distinct(column), Kind::Number),
        (2, Kind::Number) => (sum(column), Kind::Number),
        (3, Kind::Number) => (count(column.clone()).filter(column.gt(lit(1_020_i64))).build()?, Kind::Number),
        (4, Kind::Number) => (avg(column).gt(lit(1_000_i64)), Kind::Truth),
        (4, Kind::Text) => (sum(when(column.eq(lit("")), lit(1_i64)).otherwise(lit(2_i64))?), Kind::Number),
        (5, kind) if kind != Kind::Truth => (min(column), kind),
        (_, Kind::Truth) => (count(column), Kind::Number),
        (_, kind) => (max(column), kind),
    })
}

async fn plan(session: &SessionContext, steps: &[Step]) -> Result<Rows> {
    let mut rows = Rows::of(session).await?;
    for step in steps {
        rows = rows.apply(step, session).await?;
    }
    Ok(rows)
}

async fn answer(rows: Rows) -> Result<Vec<String>> {
    let is_sorted = rows.is_sorted;
    let text = pretty_format_batches(&rows.frame.collect().await?)?.to_string();
    let mut lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if !is_sorted {
        lines.sort_unstable();
    }
    Ok(lines)
}

/// What both sides answer; `None` when it is no plan, or fails here: not everything that can be said is one.
async fn answers(remote: &Remote, local: &SessionContext, steps: &[Step]) -> Result<Option<()>, TestCaseError> {
    let Ok(ours) = plan(local, steps).await else { return Ok(None) };
    let Ok(ours) = answer(ours).await else { return Ok(None) };
    let failed = |error: DataFusionError| TestCaseError::fail(error.to_string());
    let theirs = plan(&remote.session, steps).await.map_err(failed)?;
    let sent = plan_of(theirs.frame.clone()).await;
    let theirs = answer(theirs).await.map_err(|error| TestCaseError::fail(format!("{error}\n{sent:#?}")))?;
    prop_assert_eq!(theirs, ours, "{:#?}", sent);
    Ok(Some(()))
}

#[test]
fn random_plans_have_equal_answers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let records: Vec<_> = (0..ROWS).map(record).collect();
    let (remote, local) = (runtime.block_on(Remote::with(&records)), local(&records));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let (cases, compared) = (config.cases, Cell::new(0));
    let tested = TestRunner::new(config).run(&steps(), |steps| {
        let answers = runtime.block_on(answers(&remote, &local, &steps))?;
        compared.set(compared.get() + u32::from(answers.is_some()));
        Ok(())
    });
    tested.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(compared.get() > cases / 2, "only {} of {cases} were plans", compared.get());
}
