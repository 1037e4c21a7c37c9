//! What is put into a plan so that it can be stopped, and counts the memory that operators do not count themselves.
//!
//! A query ends where one of its operators waits. A join of everything with everything makes batch after batch without
//! waiting for anybody, so each join gives its thread back after so many batches. Windows keep all rows of their input
//! and count none of them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};

/// See the module.
#[derive(Debug)]
pub(super) struct Guards;

impl PhysicalOptimizerRule for Guards {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(plan.transform_up(guarded)?.data)
    }

    fn name(&self) -> &'static str {
        "sql_guards"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn guarded(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let name = plan.name();
    if name.contains("Window") {
        let inputs = plan.children().into_iter().map(|input| Counted::new(input) as Arc<dyn ExecutionPlan>);
        let inputs = inputs.collect();
        return Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?));
    }
    if name.contains("Join") {
        return Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))));
    }
    Ok(Transformed::no(plan))
}

/// Counts all that goes through it as kept, until its rows are read.
#[derive(Debug)]
struct Counted {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Counted {
    fn new(input: &Arc<dyn ExecutionPlan>) -> Arc<Self> {
        Arc::new(Self { input: Arc::clone(input), properties: Arc::clone(input.properties()) })
    }
}

impl DisplayAs for Counted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountedExec")
    }
}

impl ExecutionPlan for Counted {
    fn name(&self) -> &'static str {
        "CountedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.first() {
            Some(input) if children.len() == 1 => Ok(Self::new(input)),
            _ => internal_err!("a plan that counts has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let kept = MemoryConsumer::new("rows of a window").register(context.memory_pool());
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(CountedStream { input, kept }))
    }
}

struct CountedStream {
    input: SendableRecordBatchStream,
    kept: MemoryReservation,
}

impl Stream for CountedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.input.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(batch))) = &next
            && let Err(error) = self.kept.try_grow(batch.get_array_memory_size())
        {
            return Poll::Ready(Some(Err(error)));
        }
        next
    }
}

impl RecordBatchStream for CountedStream {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
