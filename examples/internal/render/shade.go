package render

import (
	"image/color"
	"math"
)

// light are the directions, in the axes of the picture (right, up, toward the camera), of
// the lights.
var (
	keyLight  = unit([3]float64{-0.5, 0.65, 0.75})
	fillLight = unit([3]float64{0.8, -0.1, 0.5})
	// halfway between keyLight and the camera
	highlight = unit([3]float64{keyLight[0], keyLight[1], keyLight[2] + 1})
)

// shade returns the color, with channels from 0 to 1, of a surface with a unit normal in
// the axes of the picture: Lambert's law for two lights and the ambient light, plus the
// highlight of Blinn and Phong.
func shade(base [3]float64, n [3]float64) [3]float64 {
	diffuse := 0.30 + 0.62*max(0, dot(n, keyLight)) + 0.16*max(0, dot(n, fillLight))
	specular := 0.22 * power28(max(0, dot(n, highlight)))
	var c [3]float64
	for i := range c {
		c[i] = min(1, base[i]*diffuse+specular)
	}
	return c
}

// power28 returns x²⁸.
func power28(x float64) float64 {
	x4 := x * x * x * x
	x8 := x4 * x4
	return x8 * x8 * x8 * x4
}

// channels returns an opaque color as linear light, from 0 to 1.
func channels(c color.Color) [3]float64 {
	r, g, b, _ := c.RGBA()
	var out [3]float64
	for i, v := range [3]uint32{r, g, b} {
		out[i] = math.Pow(float64(v)/0xFFFF, gamma)
	}
	return out
}

// gamma of the stored colors, roughly that of sRGB.
const gamma = 2.2

// stored returns the color of linear light.
func stored(c [3]float64) color.RGBA {
	var out [3]uint8
	for i, v := range c {
		out[i] = uint8(math.Round(255 * math.Pow(min(max(v, 0), 1), 1/gamma)))
	}
	return color.RGBA{out[0], out[1], out[2], 0xFF}
}
