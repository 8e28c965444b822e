// What DVC calls for each chart. Its templates leave these choices open, so they are made here.

// The numbers at the head are the workspace's: where the charts show another revision, or several, it names these.
const revisions = new Set();
addEventListener("load", () => {
  const shown = [...revisions].filter((revision) => revision !== undefined);
  if (shown.length === 0 || (shown.length === 1 && shown[0] === "workspace")) return;
  document.title = document.querySelector("h1").textContent = shown.join(", ");
  document.querySelector("dl").remove();
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
  for (const row of chart.data?.values ?? []) revisions.add(row.rev);
  if (chart.mark) chart.mark.clip = false; // a dot at the edge is whole
  if (chart.mark?.type === "line") {
    chart.mark.point = { size: 30 }; // a single epoch makes no line
    chart.config = { legend: { symbolType: "stroke", symbolSize: 250 }, axisX: { tickMinStep: 1 } }; // epochs are whole
  }
  if (chart.mark?.type === "bar") {
    chart.mark = { type: "point", clip: false }; // a bar's length says something only where it begins at 0
    chart.width = 360;
    chart.height = { step: 22 * new Set(chart.data.values.map((row) => row.rev)).size }; // a line for each class
  }
  if (new Set((chart.data?.values ?? []).map((row) => row.actual)).size > 15) {
    document.querySelector(place).remove(); // and its image, which has room for so many classes, is seen instead
    return;
  }
  for (const setting of chart.params ?? []) if (setting.name === "showValues") setting.value = true;
  return vegaEmbed(place, chart, options);
};
