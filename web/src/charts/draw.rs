//! A chart as the library draws it.

use charts_rs::{
    Align, BarChart, ChartBase, Color, HorizontalBarChart, LegendCategory, LineChart, Symbol, YAxisConfig,
};

use super::tidy::tidy;
use super::{Chart, Kind, colours};

/// Width of every picture; the page scales it.
const WIDTH: f32 = 720.0;
const HEIGHT: f32 = 300.0;
/// Height of one bar of [`Kind::Bars`], and of everything around them.
const BAR_HEIGHT: f32 = 28.0;
const AROUND_BARS_HEIGHT: f32 = 40.0;

const FONT: &str = "system-ui";
/// In which the library measures letters of its own font. The stylesheet makes them smaller: those of a reader's system
/// are wider.
const FONT_SIZE: f32 = 15.0;
/// Room for half of the last number below an axis.
const MARGIN_RIGHT: f32 = 24.0;
/// Up to this number an axis has a line for each whole number: there are no halves of what is counted.
const WHOLE_LINES_MAX: f64 = 6.0;
/// Numbers with separators; on hover with their category.
const THOUSANDS: &str = "{t}";
const HOVER: &str = "{t} ({b})";
/// The series of a stack have this in common.
const STACK: &str = "stack";

/// The picture; `None` when the library refuses the numbers, which the log says.
pub(super) fn svg(chart: &Chart) -> Option<String> {
    let drawn = match chart.kind {
        Kind::Columns | Kind::Stacked => columns(chart).svg(),
        Kind::Lines => lines(chart).svg(),
        Kind::Bars => bars(chart).svg(),
    };
    match drawn {
        Ok(svg) => Some(tidy(&svg, &chart.title)),
        Err(error) => {
            tracing::error!(%error, title = chart.title, "a chart could not be drawn");
            None
        }
    }
}

fn columns(chart: &Chart) -> BarChart {
    let mut drawn = BarChart::new(series(chart), chart.names.clone());
    if chart.kind == Kind::Stacked {
        for series in &mut drawn.series_list {
            series.stack = Some(STACK.to_owned());
        }
    }
    axes(&mut drawn.y_axis_configs, chart);
    drawn.legend.category = LegendCategory::RoundRect;
    look(&mut drawn, HEIGHT);
    drawn
}

fn lines(chart: &Chart) -> LineChart {
    let mut drawn = LineChart::new(series(chart), chart.names.clone());
    axes(&mut drawn.y_axis_configs, chart);
    drawn.series.symbol = Some(Symbol::None);
    look(&mut drawn, HEIGHT);
    drawn
}

/// The library begins at the bottom; people read from the top.
fn bars(chart: &Chart) -> HorizontalBarChart {
    let mut upside_down = series(chart);
    for series in &mut upside_down {
        series.data.reverse();
    }
    let mut drawn = HorizontalBarChart::new(upside_down, chart.names.iter().rev().cloned().collect());
    axes(&mut drawn.y_axis_configs, chart);
    // How many bars there are is a small number.
    #[allow(clippy::cast_precision_loss)]
    let height = AROUND_BARS_HEIGHT + BAR_HEIGHT * (chart.names.len() * chart.series.len()) as f32;
    look(&mut drawn, height);
    drawn
}

fn series(chart: &Chart) -> Vec<charts_rs::Series> {
    // Enough for heights; the table has the exact numbers.
    #[allow(clippy::cast_possible_truncation)]
    let heights =
        |series: &super::Series| series.values.iter().map(|value| value.map(|v| v as f32)).collect::<Vec<_>>();
    chart.series.iter().map(|series| (series.name.as_str(), heights(series)).into()).collect()
}

fn axes(axes: &mut [YAxisConfig], chart: &Chart) {
    for axis in axes {
        y_axis(axis, chart);
    }
}

fn y_axis(axis: &mut YAxisConfig, chart: &Chart) {
    if let Some(lines) = whole_lines(chart) {
        axis.max = Some(f32::from(lines));
        axis.split_number = usize::from(lines);
    }
    axis.font.color = ink();
    axis.font.size = FONT_SIZE;
    axis.formatter = Some(THOUSANDS.to_owned());
}

/// How many lines an axis of small whole numbers has.
fn whole_lines(chart: &Chart) -> Option<u8> {
    let of = |place: usize| chart.series.iter().filter_map(move |series| series.values.get(place).copied().flatten());
    let largest = match chart.kind {
        Kind::Stacked => (0..chart.names.len()).map(|place| of(place).sum()).fold(0.0, f64::max),
        _ => (0..chart.names.len()).flat_map(of).fold(0.0, f64::max),
    };
    let is_whole = (0..chart.names.len()).flat_map(of).all(|value| value.fract() == 0.0);
    // At most six.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (is_whole && (1.0..=WHOLE_LINES_MAX).contains(&largest)).then_some(largest as u8)
}

fn look(base: &mut ChartBase, height: f32) {
    (base.width, base.height) = (WIDTH, height);
    base.margin.right = MARGIN_RIGHT;
    base.background_color = Color::transparent();
    FONT.clone_into(&mut base.font_family);
    base.grid.stroke_color = colours::GRID.into();
    base.x_axis.font.color = ink();
    base.x_axis.font.size = FONT_SIZE;
    base.x_axis.stroke_color = ink();
    base.legend.font.color = ink();
    base.legend.font.size = FONT_SIZE;
    base.legend.align = Align::Left;
    base.legend.show = Some(base.series_list.len() > 1);
    base.series.colors = colours::SERIES.iter().map(|colour| (*colour).into()).collect();
    base.series.label.font.color = ink();
    HOVER.clone_into(&mut base.series.label.formatter);
    base.tooltip.show = true;
}

fn ink() -> Color {
    colours::INK.into()
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    fn lines_of(kind: Kind, values: &[f64]) -> Option<u8> {
        let series = values.iter().map(|value| Series { name: String::new(), values: vec![Some(*value), None] });
        let names = vec![String::new(), String::new()];
        whole_lines(&Chart { title: String::new(), kind, category: "".into(), names, series: series.collect() })
    }

    #[test]
    fn an_axis_has_no_halves_of_what_is_counted() {
        assert_eq!((lines_of(Kind::Columns, &[3.0, 4.0]), lines_of(Kind::Stacked, &[3.0, 3.0])), (Some(4), Some(6)));
        assert_eq!((lines_of(Kind::Columns, &[7.0]), lines_of(Kind::Stacked, &[3.0, 4.0])), (None, None));
        assert_eq!((lines_of(Kind::Lines, &[2.5]), lines_of(Kind::Bars, &[0.0])), (None, None));
    }
}
