// The surfaces of a case, drawn by WebGL2 and turned by dragging.

const vertexShader = `#version 300 es
in vec3 position; in vec3 normal;
uniform mat3 turn; uniform vec3 center; uniform vec2 scale;
out vec3 n;
void main() {
  vec3 p = turn * (position - center);
  n = turn * normal;
  gl_Position = vec4(p.x * scale.x, p.y * scale.y, -p.z * 0.2 * min(scale.x, scale.y), 1);
}`;

const fragmentShader = `#version 300 es
precision highp float;
in vec3 n;
uniform vec3 color; uniform float opacity;
out vec4 result;
void main() {
  vec3 m = normalize(gl_FrontFacing ? n : -n);
  float light = 0.3 + 0.6 * max(0.0, dot(m, normalize(vec3(-0.4, 0.6, 0.9)))) + 0.15 * max(0.0, dot(m, normalize(vec3(0.8, -0.2, 0.4))));
  float shine = 0.18 * pow(max(0.0, dot(m, normalize(vec3(-0.2, 0.35, 1.0)))), 24.0);
  float edge = opacity < 1.0 ? 1.0 - abs(m.z) : 0.0;
  result = vec4((color * light + shine) * (opacity + 0.5 * edge), opacity + 0.5 * edge);
}`;

class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.start();
  }

  // start begins to look from the front, a little from the patient's left and from above.
  start() { Object.assign(this, { azimuth: 25 * Math.PI / 180, elevation: 22 * Math.PI / 180, magnification: 1 }); }

  // open prepares WebGL2; it returns false where there is none.
  open() {
    const gl = this.gl = this.canvas.getContext('webgl2', { antialias: true, preserveDrawingBuffer: true });
    if (!gl) return false;
    const compile = (type, source) => {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      return shader;
    };
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl.VERTEX_SHADER, vertexShader));
    gl.attachShader(program, compile(gl.FRAGMENT_SHADER, fragmentShader));
    gl.bindAttribLocation(program, 0, 'position');
    gl.bindAttribLocation(program, 1, 'normal');
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.at = name => gl.getUniformLocation(program, name);
    this.meshes = [];
    return true;
  }

  // show replaces the surfaces. center and radius are those of what is to be seen.
  show(surfaces, center, radius) {
    const { gl } = this;
    for (const m of this.meshes) {
      gl.deleteVertexArray(m.array);
      m.buffers.forEach(b => gl.deleteBuffer(b));
    }
    this.center = center;
    this.radius = radius;
    this.meshes = surfaces.map(s => {
      const array = gl.createVertexArray(), buffers = [gl.createBuffer(), gl.createBuffer()];
      gl.bindVertexArray(array);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[0]);
      gl.bufferData(gl.ARRAY_BUFFER, s.vertices, gl.STATIC_DRAW);
      for (const i of [0, 1]) {
        gl.enableVertexAttribArray(i);
        gl.vertexAttribPointer(i, 3, gl.FLOAT, false, 24, 12 * i);
      }
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers[1]);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, s.triangles, gl.STATIC_DRAW);
      return { array, buffers, count: s.triangles.length };
    });
  }

  // draw draws the surfaces that are on. The first, the ground truth, lets others shine through.
  draw(on, colors) {
    const { gl, canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight].map(v => Math.max(1, Math.round(v * ratio)));
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    gl.viewport(0, 0, w, h);
    gl.clearColor(0, 0, 0, 0);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [sa, ca, se, ce] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
    // Rows: to the right, up, toward the viewer; by columns for WebGL.
    gl.uniformMatrix3fv(this.at('turn'), false, [-ca, sa * se, -sa * ce, -sa, -ca * se, ca * ce, 0, ce, se]);
    gl.uniform3fv(this.at('center'), this.center);
    const scale = this.magnification / this.radius, aspect = w / h;
    gl.uniform2f(this.at('scale'), scale / Math.max(aspect, 1), scale * Math.min(aspect, 1));
    const draw = (i, opacity) => {
      const m = this.meshes[i];
      gl.uniform3fv(this.at('color'), rgb(colors[i]).map(v => v / 255));
      gl.uniform1f(this.at('opacity'), opacity);
      gl.bindVertexArray(m.array);
      gl.drawElements(gl.TRIANGLES, m.count, gl.UNSIGNED_INT, 0);
    };
    const others = on.some((o, i) => o && i > 0 && this.meshes[i].count);
    on.forEach((o, i) => { if (o && (i > 0 || !others)) draw(i, 1); });
    if (on[0] && others) {
      gl.enable(gl.BLEND);
      gl.enable(gl.CULL_FACE);
      gl.depthMask(false);
      for (const face of [gl.FRONT, gl.BACK]) {
        gl.cullFace(face);
        draw(0, 0.22);
      }
      gl.disable(gl.CULL_FACE);
      gl.disable(gl.BLEND);
    }
  }

  turn(dx, dy) {
    this.azimuth += dx;
    this.elevation = Math.min(Math.max(this.elevation + dy, -Math.PI / 2), Math.PI / 2);
  }

  zoom(factor) { this.magnification = Math.min(Math.max(this.magnification * factor, 0.3), 8); }
}
