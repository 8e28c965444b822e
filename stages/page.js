// What DVC calls for each chart. Its templates leave these choices open, so they are made here.

// The numbers at the head, and the table at the foot, are the workspace's: where the charts show another revision, or several, it names these.
const revisions = new Set();
addEventListener("load", () => {
  const shown = [...revisions].filter((revision) => revision !== undefined);
  if (shown.length === 0 || (shown.length === 1 && shown[0] === "workspace")) return;
  document.title = document.querySelector("h1").textContent = shown.join(", ");
  for (const part of document.querySelectorAll("dl, section")) part.remove();
  document.querySelector(".quiet code").textContent =
    "dvc metrics diff " + shown.filter((revision) => revision !== "workspace").slice(0, 2).join(" ");
});
const options = {
  renderer: "svg",
  actions: { export: true, source: false, compiled: false, editor: false },
  config: {
    font: "system-ui, sans-serif",
    legend: { orient: "bottom", columns: 1 },
    point: { filled: true, size: 80 },
    range: { heatmap: ["#f7fbff", "#08306b"] },
    scale: { zero: false },
  },
};
window.vegaEmbed = (place, chart) => {
  const values = chart.data?.values ?? [];
  const different = (...names) => [...new Set(values.flatMap((row) => names.map((name) => row[name])))].sort();
  for (const row of values) revisions.add(row.rev);
  if (chart.mark) chart.mark.clip = false; // a dot at the edge is whole
  if (chart.mark?.type === "line") {
    chart.data.values = values.filter((row) => row[chart.encoding.y.field] !== ""); // as without validation
    const drawn = new Set(chart.data.values.map((row) => row.field));
    const dashes = chart.encoding.strokeDash?.scale;
    if (dashes) dashes.domain = dashes.domain.filter((field) => drawn.has(field));
    chart.mark.point = { size: 30 }; // a single epoch makes no line
    chart.config = { legend: { symbolType: "stroke", symbolSize: 250 }, axisX: { tickMinStep: 1 } }; // epochs are whole
  }
  if (chart.mark?.type === "bar") {
    chart.mark = { type: "point", clip: false }; // a bar's length says something only where it begins at 0
    chart.width = 360;
    chart.height = { step: 22, for: "position" }; // a line for each class, however many revisions are on it
    chart.encoding.x.axis = { tickCount: 5, labelOverlap: true, labelSeparation: 8, labelFlush: false };
  }
  if (chart.facet) {
    const classes = different("actual", "predicted");
    if (classes.length > 15) {
      document.querySelector(place).remove(); // and its image, which has room for so many classes, is seen instead
      return;
    }
    // What no image is, or is read as, has its row and column of zeros all the same, so that the diagonal is one.
    for (const transform of chart.spec.transform) if (transform.impute) transform.keyvals = classes;
    for (const axis of ["x", "y"]) chart.spec.encoding[axis].scale = { domain: classes };
  }
  for (const setting of chart.params ?? []) if (setting.name === "showValues") setting.value = true;
  return vegaEmbed(place, chart, options);
};
