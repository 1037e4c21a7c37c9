//! Files of older versions of the program: they lack derived columns, which then hold their defaults.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory, replace_columns_with_literals,
};
use telemetrics_schema::columns::derived_columns;

/// See the module; without it, what a file lacks would be null, which no column of ours ever is.
#[derive(Debug)]
pub(super) struct DefaultsForMissing;

impl PhysicalExprAdapterFactory for DefaultsForMissing {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let missing = derived_columns().iter().filter(|column| physical.index_of(column.name).is_err());
        let defaults = missing.map(|column| Ok((column.name, ScalarValue::new_default(&column.kind.arrow())?)));
        let defaults = defaults.collect::<Result<_>>()?;
        Ok(Arc::new(Adapter { defaults, rest: DefaultPhysicalExprAdapterFactory.create(logical, physical)? }))
    }
}

#[derive(Debug)]
struct Adapter {
    defaults: HashMap<&'static str, ScalarValue>,
    rest: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        self.rest.rewrite(replace_columns_with_literals(expr, &self.defaults)?)
    }
}
