/** Draws plots as SVG, with ECharts on the server's side. */
import * as echarts from 'echarts'

const COLOURS = ['#9db7d5', '#2a5b94', '#d98e04', '#7a7a7a']
const BAR_WIDTH_MAX = 12
const CHARACTER_WIDTH = 6.8

/** @param {import('../page/plots.ts').Plot} plot @param {string} mark a comment for the file @returns {string} the SVG */
export function draw({ title, unit, groups, series, isLogarithmic }, mark) {
  const least = Math.min(...series.flatMap(({ bars }) => bars.flatMap((bar) => (bar ? [bar[1]] : []))))
  const from = isLogarithmic ? 10 ** Math.floor(Math.log10(Math.max(least, 0.001))) : undefined
  const chart = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: 760,
    height: 116 + groups.length * (14 + 13 * series.length),
  })
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    color: COLOURS,
    title: { text: title, left: 0, top: 2, textStyle: { fontSize: 15 } },
    legend: { top: 34, left: 0, data: series.map(({ name }) => name) },
    grid: {
      top: 66,
      bottom: 40,
      right: 60,
      left: 16 + CHARACTER_WIDTH * Math.max(...groups.map((group) => group.length)),
    },
    xAxis: {
      type: isLogarithmic ? 'log' : 'value',
      name: unit,
      nameLocation: 'middle',
      nameGap: 24,
      ...(isLogarithmic ? { min: from, startValue: from } : {}),
    },
    yAxis: { type: 'category', data: groups, inverse: true, axisTick: { show: false } },
    series: series.flatMap(({ name, bars }, index) => [
      { type: 'bar', name, data: bars.map((bar) => bar?.[0] ?? null), barMaxWidth: BAR_WIDTH_MAX },
      {
        type: 'custom',
        name,
        data: bars.flatMap((bar, group) => (bar ? [[group, ...bar]] : [])),
        encode: { x: [1, 2, 3], y: 0 },
        z: 3,
        renderItem: (_, api) => rangeOf(api, index, series.length),
      },
    ]),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg.replace(/^<svg([^>]*)>/, `<svg role="img"$1>\n<title>${title}</title>\n<!-- ${mark} -->`).concat('\n')
}

/** A line from the least to the greatest value, and the median in figures after it. */
function rangeOf(api, index, count) {
  const [median, least, greatest] = [1, 2, 3].map((dimension) => api.value(dimension))
  const [x1, y] = api.coord([least, api.value(0)])
  const [x2] = api.coord([greatest, api.value(0)])
  const layout = api.barLayout({ count, barMaxWidth: BAR_WIDTH_MAX })[index]
  const at = y + (layout?.offsetCenter ?? 0)
  const style = {
    x: x2 + 5,
    y: at,
    text: median.toLocaleString('en'),
    fontSize: 10,
    fill: '#333333',
    verticalAlign: 'middle',
  }
  return {
    type: 'group',
    children: [
      { type: 'line', shape: { x1, y1: at, x2, y2: at }, style: { stroke: '#222222', lineWidth: 1.2 } },
      { type: 'text', style },
    ],
  }
}
